import { type DataType, dataTypes } from "../../src/graph/tensor.ts";
import type { Call, Kernel } from "./call.ts";
import { mapped } from "./broadcast.ts";
import { type Float64Tensor, isFloat } from "./tensor.ts";

const integerArrays = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
} as const;

/** To integers towards zero, the narrow ones modulo their range; to floats without rounding. */
function cast(call: Call, dtype: DataType): Float64Tensor {
  const x = call.input(0);
  if (dtype === "bool") return mapped(x, (value) => (value === 0 ? 0 : 1), dtype);
  if (isFloat(dtype)) return { ...x, dtype };
  if (dtype === "int64" || dtype === "uint64") return mapped(x, Math.trunc, dtype);
  const narrow = Object.entries(integerArrays).find(([name]) => name === dtype)?.[1];
  if (!narrow) return call.fail(`cannot cast to ${dtype}`);
  return { dtype, shape: x.shape, data: Float64Array.from(narrow.from(x.data)) };
}

function castTarget(call: Call): DataType {
  const code = call.int("to", 0);
  for (const [name, other] of Object.entries(dataTypes)) if (other === code) return name as DataType; // its own keys
  return call.fail(`element type ${code} is not known`);
}

/** Inference form: the input as it is, and a mask of ones. */
function dropout(call: Call): Float64Tensor[] {
  const x = call.input(0);
  const training = (call.inputs[2]?.data[0] ?? 0) !== 0 && (call.inputs[1]?.data[0] ?? 0.5) !== 0;
  if (training) call.fail("training mode is random");
  return [x, mapped(x, () => 1, "bool")];
}

/** Operators that keep every element where it is. */
export const castKernels: { readonly [op: string]: Kernel } = {
  Cast: (call) => cast(call, castTarget(call)),
  CastLike: (call) => cast(call, call.input(1).dtype),
  Dropout: dropout,
  Identity: (call) => call.input(0),
};
