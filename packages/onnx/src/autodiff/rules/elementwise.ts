import type { Node } from "../../graph/types.ts";
import { floatAttribute, intAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Vjp, VjpRow, VjpTable } from "../vjp.ts";

/** What the derivative of a function of one number is written with. */
interface Point<T> {
  readonly ops: DiffOps<T>;
  readonly node: Node;
  readonly x: T;
  /** f(x) */
  readonly y: T;
  readonly g: T;
}

/** The rule of a function of one number: `g · f′(x)`. */
const unary = (rule: <T>(point: Point<T>) => T): VjpRow => [
  (ops, { node, inputs: [x], outputs: [y] }, g) => rule({ ops, node, x: x!, y: y!, g }),
];

const oneMinusSquare = <T>(ops: DiffOps<T>, x: T): T => ops.sub(ops.scalar(1, x), ops.square(x));
const onePlusSquare = <T>(ops: DiffOps<T>, x: T): T => ops.shift(ops.square(x), 1);

const above = <T>(ops: DiffOps<T>, x: T, bound: number): T => ops.call("Greater", [x, ops.scalar(bound, x)]);
const below = <T>(ops: DiffOps<T>, x: T, bound: number): T => ops.call("Less", [x, ops.scalar(bound, x)]);

/** `g` where low < x < high, else 0. */
const between = <T>(ops: DiffOps<T>, x: T, low: number, high: number, g: T): T =>
  ops.maskedBy(ops.call("And", [above(ops, x, low), below(ops, x, high)]), g);

/** d/dx x·Φ(x) = ½ + ½·erf z + z·e^{−z²}/√π with z = x/√2; in as few passes as there are. */
function geluSlope<T>(ops: DiffOps<T>, x: T): T {
  const z = ops.scale(x, Math.SQRT1_2);
  // e^{−z²}/√π
  const density = ops.exp(ops.sub(ops.scalar(-Math.log(Math.PI) / 2, z), ops.square(z)));
  const cumulative = ops.shift(ops.scale(ops.call("Erf", [z]), 0.5), 0.5);
  return ops.add(cumulative, ops.mul(z, density));
}

/** Of ½x(1 + tanh u), u = √(2/π)(x + 0.044715x³): ½(1 + t) + ½x(1 − t²)u′ */
function tanhGeluSlope<T>(ops: DiffOps<T>, x: T): T {
  const root = Math.sqrt(2 / Math.PI);
  const squared = ops.square(x);
  const inner = ops.mul(ops.scale(x, root), ops.shift(ops.scale(squared, 0.044715), 1));
  const tanh = ops.call("Tanh", [inner]);
  const slope = ops.shift(ops.scale(squared, 3 * 0.044715 * root), root);
  const first = ops.shift(ops.scale(tanh, 0.5), 0.5);
  return ops.add(first, ops.mul(ops.mul(ops.scale(x, 0.5), oneMinusSquare(ops, tanh)), slope));
}

/** x·tanh(s(x)) with s the softplus: t + x·(1 − t²)·σ(x) */
function mishSlope<T>(ops: DiffOps<T>, x: T): T {
  const tanh = ops.call("Tanh", [ops.call("Softplus", [x])]);
  return ops.add(tanh, ops.mul(ops.mul(x, oneMinusSquare(ops, tanh)), ops.call("Sigmoid", [x])));
}

/** What is at a bound passes, as what is between them does. */
const clip: Vjp = (ops, { inputs: [x, low, high] }, g) => {
  const inside = [
    ...(low ? [ops.call("GreaterOrEqual", [x!, low])] : []),
    ...(high ? [ops.call("LessOrEqual", [x!, high])] : []),
  ];
  return inside.length === 0
    ? g
    : ops.maskedBy(
        inside.reduce((a, b) => ops.call("And", [a, b])),
        g,
      );
};

const functions: VjpTable = {
  Abs: unary(({ ops, x, g }) => ops.where(below(ops, x, 0), ops.neg(g), ops.maskedBy(above(ops, x, 0), g))),
  Acos: unary(({ ops, x, g }) => ops.neg(ops.div(g, ops.sqrt(oneMinusSquare(ops, x))))),
  Acosh: unary(({ ops, x, g }) => ops.div(g, ops.sqrt(ops.shift(ops.square(x), -1)))),
  Asin: unary(({ ops, x, g }) => ops.div(g, ops.sqrt(oneMinusSquare(ops, x)))),
  Asinh: unary(({ ops, x, g }) => ops.div(g, ops.sqrt(onePlusSquare(ops, x)))),
  Atan: unary(({ ops, x, g }) => ops.div(g, onePlusSquare(ops, x))),
  Atanh: unary(({ ops, x, g }) => ops.div(g, oneMinusSquare(ops, x))),
  // x ≤ 0: y = α(e^{x/α} − 1), so that y′ = y/α + 1
  Celu: unary(({ ops, node, x, y, g }) => {
    const slope = ops.shift(ops.scale(y, 1 / floatAttribute(node, "alpha", 1)), 1);
    return ops.where(above(ops, x, 0), g, ops.mul(g, slope));
  }),
  Clip: [clip],
  Cos: unary(({ ops, x, g }) => ops.neg(ops.mul(g, ops.call("Sin", [x])))),
  Cosh: unary(({ ops, x, g }) => ops.mul(g, ops.call("Sinh", [x]))),
  // x ≤ 0: y = α(e^x − 1), so that y′ = y + α
  Elu: unary(({ ops, node, x, y, g }) => {
    const slope = ops.shift(y, floatAttribute(node, "alpha", 1));
    return ops.where(above(ops, x, 0), g, ops.mul(g, slope));
  }),
  Erf: unary(({ ops, x, g }) => {
    return ops.mul(g, ops.scale(ops.exp(ops.neg(ops.square(x))), 2 / Math.sqrt(Math.PI)));
  }),
  Exp: unary(({ ops, y, g }) => ops.mul(g, y)),
  Gelu: unary(({ ops, node, x, g }) => {
    const tanh = stringAttribute(node, "approximate", "none") === "tanh";
    return ops.mul(g, tanh ? tanhGeluSlope(ops, x) : geluSlope(ops, x));
  }),
  HardSigmoid: unary(({ ops, node, x, g }) => {
    const [alpha, beta] = [floatAttribute(node, "alpha", 0.2), floatAttribute(node, "beta", 0.5)];
    return between(ops, x, -beta / alpha, (1 - beta) / alpha, ops.scale(g, alpha));
  }),
  // x·(x + 3)/6 between −3 and 3
  HardSwish: unary(({ ops, x, g }) => {
    const slope = ops.shift(ops.scale(x, 1 / 3), 0.5);
    return ops.where(above(ops, x, 3), g, ops.maskedBy(above(ops, x, -3), ops.mul(g, slope)));
  }),
  Identity: unary(({ g }) => g),
  LeakyRelu: unary(({ ops, node, x, g }) => {
    return ops.where(below(ops, x, 0), ops.scale(g, floatAttribute(node, "alpha", 0.01)), g);
  }),
  Log: unary(({ ops, x, g }) => ops.div(g, x)),
  Mish: unary(({ ops, x, g }) => ops.mul(g, mishSlope(ops, x))),
  Neg: unary(({ ops, g }) => ops.neg(g)),
  Reciprocal: unary(({ ops, y, g }) => ops.neg(ops.mul(g, ops.square(y)))),
  // 0 at 0
  Relu: unary(({ ops, y, g }) => ops.maskedBy(above(ops, y, 0), g)),
  // x ≤ 0: y = γα(e^x − 1), so that y′ = y + γα
  Selu: unary(({ ops, node, x, y, g }) => {
    const alpha = floatAttribute(node, "alpha", 1.6732632423543772);
    const gamma = floatAttribute(node, "gamma", 1.0507009873554805);
    return ops.where(above(ops, x, 0), ops.scale(g, gamma), ops.mul(g, ops.shift(y, alpha * gamma)));
  }),
  Shrink: unary(({ ops, node, x, g }) => {
    const lambda = floatAttribute(node, "lambd", 0.5);
    return ops.maskedBy(ops.call("Or", [above(ops, x, lambda), below(ops, x, -lambda)]), g);
  }),
  Sigmoid: unary(({ ops, y, g }) => ops.mul(g, ops.mul(y, ops.sub(ops.scalar(1, y), y)))),
  Sin: unary(({ ops, x, g }) => ops.mul(g, ops.call("Cos", [x]))),
  Sinh: unary(({ ops, x, g }) => ops.mul(g, ops.call("Cosh", [x]))),
  Softplus: unary(({ ops, x, g }) => ops.mul(g, ops.call("Sigmoid", [x]))),
  Softsign: unary(({ ops, x, g }) => ops.div(g, ops.square(ops.shift(ops.call("Abs", [x]), 1)))),
  Sqrt: unary(({ ops, y, g }) => ops.div(ops.scale(g, 0.5), y)),
  Tan: unary(({ ops, y, g }) => ops.mul(g, onePlusSquare(ops, y))),
  Tanh: unary(({ ops, y, g }) => ops.mul(g, oneMinusSquare(ops, y))),
  ThresholdedRelu: unary(({ ops, node, x, g }) => {
    return ops.maskedBy(above(ops, x, floatAttribute(node, "alpha", 1)), g);
  }),
  Cast: unary(({ ops, x, g }) => ops.cast(g, ops.dtype(x))),
  Dropout: unary(({ g }) => g),
};

/** The gradient of the largest (smallest) operand goes to it; of equal ones to the first. */
const extreme =
  (better: "Greater" | "Less"): VjpRow =>
  (index) =>
  (ops, { inputs }, g) => {
    const own = inputs[index]!;
    const wins = inputs.flatMap((other, i) => {
      if (!other || i === index) return [];
      return [ops.call(i < index ? better : `${better}OrEqual`, [own, other])];
    });
    return wins.length === 0
      ? g
      : ops.maskedBy(
          wins.reduce((a, b) => ops.call("And", [a, b])),
          g,
        );
  };

const operations: VjpTable = {
  Add: [(_, __, g) => g, (_, __, g) => g],
  Sub: [(_, __, g) => g, (ops, __, g) => ops.neg(g)],
  Mul: [(ops, { inputs: [, b] }, g) => ops.mul(g, b!), (ops, { inputs: [a] }, g) => ops.mul(g, a!)],
  // ∂(a/b)/∂b = −(a/b)/b
  Div: [
    (ops, { inputs: [, b] }, g) => ops.div(g, b!),
    (ops, { inputs: [, b], outputs: [y] }, g) => ops.neg(ops.div(ops.mul(g, y!), b!)),
  ],
  // ∂a^b/∂a = b·a^{b−1},  ∂a^b/∂b = a^b·ln a, 0 where a ≤ 0
  Pow: [
    (ops, { inputs: [a, b] }, g) => {
      const exponent = ops.cast(b!, ops.dtype(a!));
      const rest = ops.sub(exponent, ops.scalar(1, exponent));
      return ops.mul(g, ops.mul(exponent, ops.call("Pow", [a!, rest])));
    },
    (ops, { inputs: [a], outputs: [y] }, g) => {
      const positive = above(ops, a!, 0);
      const safe = ops.where(positive, a!, ops.scalar(1, a!));
      return ops.mul(g, ops.mul(y!, ops.log(safe)));
    },
  ],
  // a − b·⌊a/b⌋, or with fmod the quotient cut towards zero
  Mod: [
    (_, __, g) => g,
    (ops, { node, inputs: [a, b] }, g) => {
      const quotient = ops.div(a!, b!);
      const floor = ops.call("Floor", [quotient]);
      const cut = ops.where(below(ops, quotient, 0), ops.call("Ceil", [quotient]), floor);
      return ops.neg(ops.mul(g, intAttribute(node, "fmod", 0) ? cut : floor));
    },
  ],
  Max: extreme("Greater"),
  Min: extreme("Less"),
  Sum: () => (_, __, g) => g,
  Mean:
    () =>
    (ops, { inputs }, g) =>
      ops.scale(g, 1 / inputs.length),
  PRelu: [
    (ops, { inputs: [x, slope] }, g) => ops.where(below(ops, x!, 0), ops.mul(g, slope!), g),
    (ops, { inputs: [x] }, g) => ops.maskedBy(below(ops, x!, 0), ops.mul(g, x!)),
  ],
  Where: [
    undefined,
    (ops, { inputs: [condition] }, g) => ops.where(condition!, g, ops.scalar(0, g)),
    (ops, { inputs: [condition] }, g) => ops.where(condition!, ops.scalar(0, g), g),
  ],
};

/** Element-wise operators: functions of one number, and operations on broadcast operands. */
export const elementwise: VjpTable = { ...functions, ...operations };
