import * as tf from "@tensorflow/tfjs";
import { checkFloats, floatsOf, intsOf, type KernelArguments } from "./wasm-backend.ts";

/**
 * UnsortedSegmentSum: `out[s, …] = Σ_{i: ids[i] = s} x[i, …]`, the gradient of `gather` and so of an embedding.
 * Rows whose id is not in [0, numSegments) are left out, as on the cpu backend.
 */
export function unsortedSegmentSum({
  inputs: { x, segmentIds },
  backend,
  attrs: { numSegments },
}: KernelArguments<
  { readonly x: tf.TensorInfo; readonly segmentIds: tf.TensorInfo },
  { readonly numSegments: number }
>): tf.TensorInfo {
  checkFloats("UnsortedSegmentSum", { x });
  const rowShape = x.shape.slice(segmentIds.shape.length);
  const rowSize = tf.util.sizeFromShape(rowShape);
  const out = backend.makeOutput([numSegments, ...rowShape], "float32");
  const sums = floatsOf(backend, out).fill(0);
  const values = floatsOf(backend, x);
  intsOf(backend, segmentIds).forEach((segment, row) => {
    if (segment < 0 || segment >= numSegments) return;
    const from = row * rowSize;
    const to = segment * rowSize;
    for (let i = 0; i < rowSize; i += 1) sums[to + i] = sums[to + i]! + values[from + i]!;
  });
  return out;
}
