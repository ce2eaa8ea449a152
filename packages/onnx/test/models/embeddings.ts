import type { Value } from "@dgate/onnx";
import type { Exporter } from "./exporter.ts";

/** Rows of a learnt table `[count, width]` by index. */
export function embed(ex: Exporter, name: string, index: Value, shape: readonly [number, number]): Value {
  return ex.within(name, () => ex.gather(ex.weight("weight", shape), index));
}

/** A slice `[1, length]` of the position ids that torch keeps as a buffer, its end read from the input's shape. */
export function positionIds(ex: Exporter, ids: Value, positions: number): Value {
  const length = ex.scalar(ex.sizeOf(ids, 1));
  const buffer = ex.constant(
    "int64",
    [1, positions],
    Array.from({ length: positions }, (_, i) => i),
  );
  return ex.slice(buffer, 0, length, 1);
}
