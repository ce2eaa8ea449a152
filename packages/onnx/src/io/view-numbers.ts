import type { Tensor } from "../graph/tensor.ts";
import { type NumberArray, readNumbers } from "./tensor-data.ts";

/** Types whose elements a typed array shows as they lie in memory. */
const views = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
} as const;

/**
 * As `readNumbers`, without the copy where the content is aligned: for passes that only read all weights of a model, whose
 * copies would cost more than the work. Never write to the result.
 */
export function viewNumbers(tensor: Tensor): Readonly<NumberArray> {
  const { dtype, bytes, shape } = tensor;
  const view = Object.hasOwn(views, dtype) ? views[dtype as keyof typeof views] : undefined; // a key: checked
  const count = shape.reduce((a, b) => a * b, 1);
  const fits =
    view !== undefined &&
    bytes.byteOffset % view.BYTES_PER_ELEMENT === 0 &&
    bytes.byteLength === count * view.BYTES_PER_ELEMENT;
  return fits ? new view(bytes.buffer as ArrayBuffer, bytes.byteOffset, count) : readNumbers(tensor);
}
