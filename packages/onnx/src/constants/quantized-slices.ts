import type { Node } from "../graph/graph.ts";
import { integerRange, readNumbers } from "../io/tensor-data.ts";
import { intAttribute } from "../ops/attributes.ts";
import { roundEven } from "../ops/scalar-functions.ts";
import { quantizedOps } from "../ops/quantized-forms.ts";
import { dequantize } from "../quantization/quantization.ts";
import { quantizationOf } from "../quantization/quantization-of.ts";
import { contractionConstants } from "./contraction-constants.ts";
import { realSlices, sameNumber } from "./real-slices.ts";
import type { SliceConstants, SliceContext } from "./slice-context.ts";
import type { SliceRule } from "./slice-rules.ts";

/**
 * What the quantized operators make of constant channels. Quantized values stand as the codes that the runtime has; a dead
 * channel is at its zero point. Of a quantized sum or product only zero is followed: it is exact whatever the scales.
 *
 * @param floats the rules of the float operators
 */
export function quantizedSlices(
  floats: Readonly<Record<string, SliceRule>>,
): Readonly<Record<string, SliceRule>> {
  const asFloat: SliceRule = (context, axis) => {
    const { output, op, operands } = context.form!; // rows below have one
    const real = floats[op]?.(context, axis);
    if (output) return atZeroPoint(real, context.original, output.zeroPoint);
    // A float bias is added to a sum of zero exactly; integers in units that are not known yet are not.
    const exact = operands[0]!.zeroPoint === undefined || context.original.op === "MatMulIntegerToFloat";
    return exact ? real : onlyZeros(real);
  };
  return {
    ...Object.fromEntries(quantizedOps.map((op) => [op, asFloat])),
    QuantizeLinear: quantizeLinear,
    "com.microsoft.QuantizeLinear": quantizeLinear,
    DequantizeLinear: dequantizeLinear,
    "com.microsoft.DequantizeLinear": dequantizeLinear,
    "com.microsoft.MatMulNBits": contractionConstants,
    "com.microsoft.MatMulBnb4": contractionConstants,
    "com.microsoft.GatherBlockQuantized": tableColumns,
  };
}

const onlyZeros = (slices: SliceConstants | undefined): SliceConstants | undefined =>
  slices?.map((slice) => (slice === 0 ? 0 : Number.NaN));

/** Zeros as the code of the output that means zero; QGemm without zero point has a float output. */
function atZeroPoint(
  real: SliceConstants | undefined,
  { inputs }: Node,
  zeroPoint: number,
): SliceConstants | undefined {
  const value = inputs[zeroPoint];
  if (value && !value.data) return undefined;
  const codes = value?.data ? readNumbers(value.data) : [0];
  return real?.map((slice) => (slice === 0 && codes.length === 1 ? codes[0]! : Number.NaN));
}

/** code = saturate(round(x / scale) + zeroPoint), x / scale in float32, halves to even. */
const quantizeLinear: SliceRule = (context, axis) => {
  const numbers = parametersOf(context, axis);
  const range = integerRange[context.view.type(context.view.output())?.dtype ?? "string"];
  if (!numbers || !range) return undefined;
  return context.slices(0, axis)?.map((x, i) => {
    // Zero is the zero point whatever the scale.
    const steps = x === 0 ? 0 : roundEven(Math.fround(x / numbers.scale(i)));
    return Math.min(range[1], Math.max(range[0], steps + numbers.zeroPoint(i)));
  });
};

const dequantizeLinear: SliceRule = (context, axis) => {
  const zero = context.node.inputs[2];
  if (zero && !zero.data) {
    return onlyZeros(realSlices(context.original, { value: 0, zeroPoint: 2 }, axis, context.source));
  }
  const numbers = parametersOf(context, axis);
  return (
    numbers &&
    context.slices(0, axis)?.map((code, i) => {
      const steps = code - numbers.zeroPoint(i);
      return steps === 0 ? 0 : steps * numbers.scale(i);
    })
  );
};

/** Columns of a quantized table that are zero in every row. */
const tableColumns: SliceRule = ({ node, view }, axis) => {
  const table = node.inputs[0];
  const quantization = table && quantizationOf(view.graph, table);
  const columns = quantization?.shape[1];
  if (!quantization || !table?.data || columns === undefined || axis + 1 !== view.outputShape()?.length)
    return undefined;
  const found = new Float64Array(columns);
  dequantize(table.data, quantization).forEach((number, i) => {
    if (number !== 0) found[i % columns] = Number.NaN;
  });
  return found;
};

interface SliceNumbers {
  readonly scale: (slice: number) => number;
  readonly zeroPoint: (slice: number) => number;
}

/** Fixed scales and zero points of the slices of an axis; NaN where a slice has several. */
function parametersOf(context: SliceContext, axis: number): SliceNumbers | undefined {
  const { node, view } = context;
  const scales = context.numbers(1);
  const zeros = node.inputs[2] ? context.numbers(2) : [0];
  if (!scales || !zeros) return undefined;
  const rank = view.shape(0)?.length ?? 0;
  const own = rank === 1 ? 0 : view.axis("axis", 1, rank);
  const along = own === axis && intAttribute(node, "block_size", 0) === 0;
  const at = (numbers: ArrayLike<number>): ((slice: number) => number) => {
    if (along && numbers.length > 1) return (slice) => numbers[slice]!;
    const same = sameNumber(numbers);
    return () => same;
  };
  return { scale: at(scales), zeroPoint: at(zeros) };
}
