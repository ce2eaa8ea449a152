import { randomGenerator } from "@dgate/core";
import type { Batch } from "@dgate/onnx/train";

/** Endless batches: every row once in each epoch, in an order that seed and epoch decide; what is left of an epoch is not used. */
export function epochBatches(
  count: number,
  size: number,
  batchOf: (rows: Int32Array) => Batch,
): (seed: number) => (stepsDone: number) => Generator<Batch, void, undefined> {
  const perEpoch = Math.floor(count / size);
  return (seed) =>
    function* from(stepsDone) {
      for (let epoch = Math.floor(stepsDone / perEpoch); ; epoch++) {
        const order = Int32Array.from({ length: count }, (_, i) => i);
        randomGenerator(seed * 100_003 + epoch).shuffle(order);
        const first = epoch === Math.floor(stepsDone / perEpoch) ? stepsDone % perEpoch : 0;
        for (let step = first; step < perEpoch; step++)
          yield batchOf(order.subarray(step * size, (step + 1) * size));
      }
    };
}
