import { denseWeights, inputsOf } from "./dense-weights.ts";
import { biasOf } from "./layer-bias.ts";
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
