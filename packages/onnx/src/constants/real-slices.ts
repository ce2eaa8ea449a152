import type { Node, Value } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import type { QuantizedOperand } from "../ops/quantized-forms.ts";
import type { SliceConstants, SliceSource } from "./slice-context.ts";

/** Operators that move elements as they are, so that a zero point stays one. */
const moving = new Set([
  "Expand",
  "Flatten",
  "Gather",
  "Identity",
  "MaxPool",
  "Reshape",
  "Slice",
  "Squeeze",
  "Transpose",
  "Unsqueeze",
]);

/**
 * The real numbers behind the slices of a quantized operand, `(slice − zeroPoint) · scale`. With a zero point that is found at
 * run time (`DynamicQuantizeLinear`) they are the slices of what was quantized: zero is exactly the zero point there.
 */
export function realSlices(
  node: Node,
  { value, scale, zeroPoint }: QuantizedOperand,
  axis: number,
  source: SliceSource,
): SliceConstants | undefined {
  const operand = node.inputs[value];
  const zero = zeroPoint === undefined ? undefined : node.inputs[zeroPoint];
  if (!operand) return undefined;
  if (zero && !zero.data) return slicesAround(operand, axis, zero, source);
  const from = zero?.data ? sameNumber(readNumbers(zero.data)) : 0;
  const step = scale === undefined ? undefined : node.inputs[scale]?.data;
  const factor = step ? sameNumber(readNumbers(step)) : 1;
  return source.of(operand, axis)?.map((slice) => (slice === from ? 0 : (slice - from) * factor));
}

/** The number that all of a list are; NaN where they differ. */
export function sameNumber(numbers: ArrayLike<number>): number {
  for (let i = 1; i < numbers.length; i++) if (numbers[i] !== numbers[0]) return Number.NaN;
  return numbers[0] ?? Number.NaN;
}

/** What was quantized around the zero point `zero`, moved at most since. */
function slicesAround(
  value: Value,
  axis: number,
  zero: Value,
  source: SliceSource,
): SliceConstants | undefined {
  const producer = source.coupling.graph.producer(value);
  if (!producer || producer.domain !== "") return undefined;
  if (producer.op === "DynamicQuantizeLinear") {
    const [quantized, , zeroPoint] = producer.outputs;
    const input = producer.inputs[0];
    return value === quantized && zero === zeroPoint && input ? source.of(input, axis) : undefined;
  }
  if (!moving.has(producer.op)) return undefined;
  const around: SliceSource = { ...source, of: (input, at) => slicesAround(input, at, zero, source) };
  return source.through(producer, axis, around);
}
