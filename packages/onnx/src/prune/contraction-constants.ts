import type { Node } from "../graph/graph.ts";
import { floatAttribute } from "../ops/attributes.ts";
import { denseWeights, inputsOf } from "./dense-weights.ts";
import type { SliceConstants, SliceContext } from "./slice-context.ts";

/**
 * The output channels of Gemm, MatMul, Conv and ConvTranspose that are constant: those that see only constant channels, or
 * none, and so emit their bias and what those constants add to it.
 */
export function contractionConstants(context: SliceContext, axis: number): SliceConstants | undefined {
  const weights = denseWeights(context);
  if (!weights) return context.node.op === "MatMul" ? productZeros(context, axis) : undefined;
  if (axis !== weights.outputAxis) return undefined;
  const x = context.slices(0, weights.dataAxis);
  const bias = biasOf(context, weights.outputs);
  if (!bias) return undefined;
  return Float64Array.from({ length: weights.outputs }, (_, j) => {
    let sum = bias[j]!;
    const [from, to] = inputsOf(weights, j);
    for (let k = from; k < to; k++) {
      const constant = x?.[k];
      if (constant === 0 || !weights.connected(k, j)) continue;
      if (constant === undefined || Number.isNaN(constant) || weights.uneven !== undefined) return Number.NaN;
      sum += constant * weights.total(k, j);
    }
    return sum;
  });
}

const biasInputs: Readonly<Record<string, number>> = {
  Gemm: 2,
  Conv: 2,
  ConvTranspose: 2,
  FusedGemm: 2,
  FusedConv: 2,
  Attention: 2,
  MatMulNBits: 5,
};

/** The input of a contraction that is its bias, if it takes one. */
export function biasInput({ op }: Node): number | undefined {
  return Object.hasOwn(biasInputs, op) ? biasInputs[op] : undefined;
}

/** Gemm and its fused form, whose bias is scaled by β. */
export function isGemm({ op }: Node): boolean {
  return op === "Gemm" || op === "FusedGemm";
}

/** The bias of each output channel (β·C of Gemm); zeros where there is none, NaN where it differs from row to row. */
export function biasOf(context: SliceContext, outputs: number): Float64Array | undefined {
  // A quantized layer has its bias where the float operator would have it, after the operands.
  const { form } = context;
  const index = form?.bias === undefined ? biasInput(context.node) : form.operands.length;
  if (index === undefined || !context.node.inputs[index]) return new Float64Array(outputs);
  const numbers = context.numbers(index);
  const shape = context.view.shape(index);
  if (!numbers || !shape) return undefined;
  const beta = isGemm(context.node) ? floatAttribute(context.node, "beta", 1) : 1;
  if (beta === 0) return new Float64Array(outputs);
  if (numbers.length === 1) return new Float64Array(outputs).fill(beta * numbers[0]!);
  if (numbers.length !== outputs || shape.at(-1) !== outputs) return undefined;
  return Float64Array.from(numbers, (number) => beta * number);
}

/** A product of two computed values: a slice of zeros on either side makes zeros. */
function productZeros(context: SliceContext, axis: number): SliceConstants | undefined {
  const rank = context.view.outputShape()?.length;
  const ranks = [0, 1].map((i) => context.view.shape(i)?.length ?? 0);
  const size = context.outputSize(axis);
  if (rank === undefined || size === undefined || ranks.some((each) => each < 2)) return undefined;
  const zeros = new Float64Array(size).fill(Number.NaN);
  ranks.forEach((own, index) => {
    // Rows come from the left operand, columns from the right one, other axes from both.
    if ((axis === rank - 1 && index === 0) || (axis === rank - 2 && index === 1)) return;
    const at = axis - rank + own;
    if (at < 0 || context.size(index, at) !== size) return;
    context.slices(index, at)?.forEach((constant, i) => {
      if (constant === 0) zeros[i] = 0;
    });
  });
  return zeros;
}
