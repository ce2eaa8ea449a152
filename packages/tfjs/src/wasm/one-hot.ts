import type * as tf from "@tensorflow/tfjs";
import { addressOf, intsOf, type KernelArguments } from "./wasm-backend.ts";

/**
 * OneHot: `out[…, i] = onValue` where `i` is the index, else `offValue`; an index outside [0, depth) gives a row of
 * `offValue`. tfjs's own kernel writes integers whatever the type, and past its memory for such an index.
 */
export function oneHot({
  inputs: { indices },
  backend,
  attrs: { depth, onValue, offValue, dtype },
}: KernelArguments<
  { readonly indices: tf.TensorInfo },
  {
    readonly depth: number;
    readonly onValue: number;
    readonly offValue: number;
    readonly dtype: "float32" | "int32" | "bool";
  }
>): tf.TensorInfo {
  const out = backend.makeOutput([...indices.shape, depth], dtype);
  const rows = intsOf(backend, indices);
  const Elements = { float32: Float32Array, int32: Int32Array, bool: Uint8Array }[dtype];
  const values = new Elements(backend.wasm.HEAPU8.buffer, addressOf(backend, out), rows.length * depth);
  values.fill(offValue);
  rows.forEach((index, row) => {
    if (index >= 0 && index < depth) values[row * depth + index] = onValue;
  });
  return out;
}
