import type { Graph, Node, Value } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { quantizedForm, type QuantizedOperand } from "../ops/quantized-forms.ts";
import type { QuantizationNumbers } from "../quantization/quantization.ts";
import { operandQuantization } from "../quantization/quantization-of.ts";
import { plainMeaning } from "./dequantized-constants.ts";
import type { RealValues } from "./real-values.ts";
import { refuse } from "./refuse.ts";

/**
 * MatMulInteger or ConvInteger with what gives its sums their meaning, `Mul(Cast(sum), scales)`, as MatMul or Conv. The factor is the scales
 * of both operands, or their product.
 */
export function dequantizeIntegerProduct(reals: RealValues, node: Node): void {
  const { graph } = reals;
  const form = quantizedForm(node)!; // the caller's
  const cast = onlyReader(graph, node.outputs[0], "Cast");
  const scaled = cast && onlyReader(graph, cast.outputs[0], "Mul");
  if (!scaled) return refuse(node, "its sums are not multiplied with the scales of its operands alone");
  const parts = factorsOf(graph, scaled.inputs.find((value) => value !== cast.outputs[0])!);
  const operands = form.operands.map(({ value }) => node.inputs[value]!);
  const known = operands.map((operand) => reals.get(operand));
  const left = withoutScales(
    parts,
    known.flatMap((real) => (real ? [real.scale] : [])),
  );
  if (!left)
    return refuse(node, "its sums are multiplied with something else than the scales of its operands");
  const constant = operands.findIndex((operand, i) => !known[i] && (operand.data || turnOf(graph, operand)));
  const inputs = operands.map((operand, i) => {
    const real = known[i]?.value;
    if (real) return real;
    const turned = i === constant && turnedOperand(reals, node, form.operands[i]!, left);
    if (turned) return turned;
    const meant = i === constant && operandQuantization(graph, node, form.operands[i]!.value);
    if (!meant) return refuse(node, `what "${operand.name}" stands for is not known`);
    const scales = { value: left.value, numbers: left.numbers };
    if (![1, meant.shape[meant.axis]].includes(scales.numbers.length))
      return refuse(node, "its scales do not fit its weight");
    return reals.constant(operand, plainMeaning(operand, { ...meant, scales }));
  });
  const product = reals.add(node, form.op, inputs, node.attributes);
  const rest = constant < 0 && left.numbers.some((number) => number !== 1);
  reals.replace(scaled.outputs[0]!, rest ? times(reals, scaled, product, left.numbers) : product);
}

/** The Transpose of a constant that a value is. */
function turnOf(graph: Graph, value: Value): Node | undefined {
  const turn = value.data ? undefined : graph.producer(value);
  return turn?.op === "Transpose" && turn.domain === "" && turn.inputs[0]?.data ? turn : undefined;
}

/** The float of a weight that is turned as it runs, since a table has its codes too: one scale and one zero point for all. */
function turnedOperand(
  reals: RealValues,
  node: Node,
  operand: QuantizedOperand,
  scales: QuantizationNumbers,
): Value | undefined {
  const turn = turnOf(reals.graph, node.inputs[operand.value]!);
  const codes = turn?.inputs[0];
  const zero = operand.zeroPoint === undefined ? undefined : node.inputs[operand.zeroPoint];
  const zeros = zero?.data ? readNumbers(zero.data) : zero ? [] : [0];
  if (!turn || !codes?.data || zeros.length !== 1 || scales.numbers.length !== 1) return undefined;
  const { shape } = codes.data;
  const zeroPoints = { value: zero, numbers: zeros };
  const meaning = plainMeaning(codes, { shape, packedBits: 0, axis: 0, blockSize: 0, scales, zeroPoints });
  return reals.addBeside("Transpose", [reals.constant(codes, meaning)], turn.attributes);
}

function times(reals: RealValues, node: Node, x: Value, numbers: readonly number[]): Value {
  const { graph } = reals;
  if (numbers.length !== 1) return refuse(node, "its scales do not fit its operands");
  const factor = graph.addInitializer(graph.freshName("scale"), tensorOf("float32", [], numbers));
  return reals.addBeside("Mul", [x, factor]);
}

function onlyReader(graph: Graph, value: Value | undefined, op: string): Node | undefined {
  const uses = value ? graph.uses(value) : [];
  const node = uses.length === 1 ? uses[0]!.node : undefined;
  return node?.op === op && node.domain === "" ? node : undefined;
}

/** The values whose product a value is. */
function factorsOf(graph: Graph, value: Value): readonly Value[] {
  const node = value.data ? undefined : graph.producer(value);
  if (node?.op !== "Mul" || node.domain !== "") return [value];
  return node.inputs.flatMap((input) => (input ? factorsOf(graph, input) : []));
}

/** What is left of the factors without these scales: numbers, from `value` alone if there is one. `undefined` if a scale is missing. */
function withoutScales(
  factors: readonly Value[],
  scales: readonly (Value | undefined)[],
): { value: Value | undefined; numbers: readonly number[] } | undefined {
  const open = [...factors];
  let divisor = 1;
  for (const scale of scales) {
    const at = scale ? open.indexOf(scale) : -1;
    if (at >= 0) open.splice(at, 1);
    else if (scale?.data) divisor *= readNumbers(scale.data)[0]!;
    else return undefined;
  }
  if (open.some((value) => !value.data)) return undefined;
  if (open.length === 1 && divisor === 1)
    return { value: open[0], numbers: [...readNumbers(open[0]!.data!)] };
  const lists = open.map((value) => [...readNumbers(value.data!)]);
  const longest = Math.max(1, ...lists.map((list) => list.length));
  const numbers = Array.from({ length: longest }, (_, i) =>
    lists.reduce((product, list) => product * list[list.length === 1 ? 0 : i]!, 1 / divisor),
  );
  return { value: undefined, numbers };
}
