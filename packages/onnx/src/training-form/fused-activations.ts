import type { DiffOps } from "../operators/diff-ops.ts";
import { float } from "../graph/attribute.ts";
import type { Node } from "../graph/types.ts";
import { floatAttribute } from "../ops/attributes.ts";
import type { Decomposition } from "./decomposition.ts";
import { refuse } from "./refuse.ts";

/** `x/2 · (1 + erf(x/√2))` */
export function gelu<T>(ops: DiffOps<T>, x: T): T {
  const share = ops.shift(ops.call("Erf", [ops.scale(x, Math.SQRT1_2)]), 1);
  return ops.mul(ops.scale(x, 0.5), share);
}

/** `x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))` */
function tanhGelu<T>(ops: DiffOps<T>, x: T): T {
  const slope = ops.shift(ops.scale(ops.square(x), 0.044715), 1);
  const inner = ops.scale(ops.mul(x, slope), Math.sqrt(2 / Math.PI));
  return ops.mul(ops.scale(x, 0.5), ops.shift(ops.call("Tanh", [inner]), 1));
}

const withBias = <T>(ops: DiffOps<T>, x: T, bias: T | undefined): T =>
  bias === undefined ? x : ops.add(x, bias);

/** com.microsoft.Gelu, and BiasGelu with its bias. */
export const biasGelu: Decomposition = (ops, { inputs: [x, bias] }) => [gelu(ops, withBias(ops, x!, bias))];

/** com.microsoft.FastGelu: the approximation with tanh, of a sum if there is a bias. */
export const fastGelu: Decomposition = (ops, { inputs: [x, bias] }) => [
  tanhGelu(ops, withBias(ops, x!, bias)),
];

/** `x · σ(α·x)` */
export const quickGelu: Decomposition = (ops, { node, inputs: [x] }) => {
  const scaled = ops.scale(x!, floatAttribute(node, "alpha", 1.702));
  return [ops.mul(x!, ops.call("Sigmoid", [scaled]))];
};

/** The numbers that an activation within another operator may take, by their places. */
const activationParameters: Readonly<Record<string, readonly string[]>> = {
  Elu: ["alpha"],
  HardSigmoid: ["alpha", "beta"],
  HardSwish: [],
  LeakyRelu: ["alpha"],
  Relu: [],
  Selu: ["alpha", "gamma"],
  Sigmoid: [],
  Softplus: [],
  Softsign: [],
  Tanh: [],
  ThresholdedRelu: ["alpha"],
};

/**
 * The activation that FusedConv and FusedGemm end with; none if it has no name.
 *
 * @param numbers what it takes, by place; `undefined` for the activation's own default
 */
export function activate<T>(
  ops: DiffOps<T>,
  node: Node,
  x: T,
  { name, numbers }: { readonly name: string; readonly numbers: readonly (number | undefined)[] },
): T {
  if (name === "") return x;
  if (name === "Clip") {
    const bounds = numbers.map((bound) => (bound === undefined ? undefined : ops.scalar(bound, x)));
    return ops.call("Clip", [x, ...bounds.slice(0, 2)]);
  }
  const parameters = Object.hasOwn(activationParameters, name) ? activationParameters[name] : undefined;
  if (!parameters) return refuse(node, `it ends with the activation "${name}"`);
  const given = parameters.flatMap((parameter, i) => {
    const number = numbers[i];
    return number === undefined ? [] : [[parameter, float(number)] as const];
  });
  return ops.call(name, [x], Object.fromEntries(given));
}
