import { DgateError } from "@dgate/core";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { byteLengthOf, elementBits, elementCount } from "./element-types.ts";
import { encodeSmallFloat, type SmallFloat, smallFloats, smallFloatTable } from "./small-floats.ts";

/** What `readNumbers` gives: a fresh, aligned array in row-major order. */
export type NumberArray =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>;

/** Element content that `tensorOf` takes: numbers (0 and 1 for `bool`), or texts for `string`. */
export type TensorValues = ArrayLike<number> | readonly string[];

/** Lowest and highest number of an integer type; 64-bit ones as far as numbers are exact. */
export const integerRange: { readonly [D in DataType]?: readonly [number, number] } = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  bool: [0, 1],
  int4: [-8, 7],
  uint4: [0, 15],
  int2: [-2, 1],
  uint2: [0, 3],
};

/**
 * A constant tensor of the given elements in row-major order.
 *
 * @param values one number per element (rounded to the nearest for float32, float16, bfloat16), or one text for `string`
 * @throws DgateError `SHAPE` if the count does not fit, `DATA` for a number out of the type's range, `UNSUPPORTED` for
 * complex and 8- or 4-bit float types.
 */
export function tensorOf(dtype: DataType, shape: readonly number[], values: TensorValues): Tensor {
  const count = elementCount(shape);
  if (values.length !== count) {
    throw new DgateError(
      "SHAPE",
      `tensorOf: ${dtype}[${shape.join(", ")}] needs ${count} values, got ${values.length}.`,
    );
  }
  if (dtype === "string") {
    const encoder = new TextEncoder();
    const strings = Array.from<unknown, Uint8Array>(values, (value) => encoder.encode(String(value)));
    return { dtype, shape: [...shape], bytes: new Uint8Array(0), strings };
  }
  const numbers = values as ArrayLike<number>; // the other member of TensorValues belongs to `string`, handled above
  const range = integerRange[dtype];
  if (range) checkIntegers(dtype, numbers, range);
  return { dtype, shape: [...shape], bytes: encode(dtype, numbers) };
}

/**
 * The elements as numbers: a copy in the type's own typed array; float16, bfloat16, float8 and float4 as Float32Array,
 * bool as 0/1 in Uint8Array, 4- and 2-bit integers one per byte, int64 and uint64 as Float64Array of exact integers
 * (INT64_MIN, INT64_MAX and UINT64_MAX, which mean "to the end", become ±Number.MAX_SAFE_INTEGER).
 *
 * @throws DgateError `DATA` for a 64-bit integer that a number cannot hold, `UNSUPPORTED` for complex and string.
 */
export function readNumbers(tensor: Tensor): NumberArray {
  const { dtype, shape } = tensor;
  const bytes = contentOf(tensor);
  const count = elementCount(shape);
  switch (dtype) {
    case "float32":
      return new Float32Array(alignedCopy(bytes));
    case "float64":
      return new Float64Array(alignedCopy(bytes));
    case "int8":
      return new Int8Array(alignedCopy(bytes));
    case "uint8":
    case "bool":
      return new Uint8Array(alignedCopy(bytes));
    case "int16":
      return new Int16Array(alignedCopy(bytes));
    case "uint16":
      return new Uint16Array(alignedCopy(bytes));
    case "int32":
      return new Int32Array(alignedCopy(bytes));
    case "uint32":
      return new Uint32Array(alignedCopy(bytes));
    case "int64":
    case "uint64":
      return read64(dtype, bytes, count);
    case "float16":
    case "bfloat16": {
      const table = smallFloatTableOf(dtype);
      return Float32Array.from(new Uint16Array(alignedCopy(bytes)), (code) => table[code]!);
    }
    case "float8e4m3fn":
    case "float8e4m3fnuz":
    case "float8e5m2":
    case "float8e5m2fnuz":
    case "float4e2m1": {
      const table = smallFloatTableOf(dtype);
      return Float32Array.from(unpack(bytes, elementBits[dtype], count), (code) => table[code]!);
    }
    case "float8e8m0":
      return Float32Array.from(bytes, (code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));
    case "uint4":
    case "uint2":
      return unpack(bytes, elementBits[dtype], count);
    case "int4":
    case "int2": {
      const shift = 32 - elementBits[dtype];
      return Int8Array.from(unpack(bytes, elementBits[dtype], count), (code) => (code << shift) >> shift);
    }
    default:
      throw new DgateError("UNSUPPORTED", `readNumbers: a ${dtype} tensor has no plain numbers.`);
  }
}

/** The texts of a `string` tensor. */
export function readStrings(tensor: Tensor): string[] {
  if (tensor.dtype !== "string") {
    throw new DgateError("UNSUPPORTED", `readStrings: the tensor is ${tensor.dtype}; use readNumbers.`);
  }
  const decoder = new TextDecoder();
  return (tensor.strings ?? []).map((text) => decoder.decode(text));
}

/**
 * The slices `indices` along `axis`, in that order: `out[…, i, …] = tensor[…, indices[i], …]`. The same operation as
 * ONNX Gather with a 1-D index.
 */
export function gatherTensor(tensor: Tensor, axis: number, indices: ArrayLike<number>): Tensor {
  const { shape } = tensor;
  const at = checkAxis(shape, axis);
  const size = shape[at]!;
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (!Number.isInteger(index) || index < 0 || index >= size) {
      throw new DgateError(
        "SHAPE",
        `gatherTensor: axis ${at} has ${size} slices, index ${index} is not one.`,
      );
    }
  }
  const inner = elementCount(shape.slice(at + 1));
  const outer = elementCount(shape.slice(0, at));
  const outShape = shape.map((dim, i) => (i === at ? indices.length : dim));
  return rearrange(tensor, outShape, inner, (copy) => {
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < indices.length; i++) copy((o * size + indices[i]!) * inner, to++ * inner);
    }
  });
}

/** The slices from `start` to before `end` along `axis`. */
export function sliceTensor(tensor: Tensor, axis: number, start: number, end: number): Tensor {
  const size = tensor.shape[checkAxis(tensor.shape, axis)]!;
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= size)) {
    throw new DgateError(
      "SHAPE",
      `sliceTensor: ${start} to ${end} is no range of axis ${axis}, which has ${size} slices.`,
    );
  }
  return gatherTensor(
    tensor,
    axis,
    Array.from({ length: end - start }, (_, i) => start + i),
  );
}

/** The tensor with its axes in the order of `permutation` (reversed if left out): `out.shape[i] = shape[permutation[i]]`. */
export function transposeTensor(tensor: Tensor, permutation?: readonly number[]): Tensor {
  const { shape } = tensor;
  const order = permutation ?? shape.map((_, i) => shape.length - 1 - i);
  if (order.length !== shape.length || new Set(order).size !== order.length) {
    throw new DgateError(
      "SHAPE",
      `transposeTensor: [${order.join(", ")}] is no permutation of ${shape.length} axes.`,
    );
  }
  order.forEach((axis) => checkAxis(shape, axis));
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const outShape = order.map((axis) => shape[axis]!);
  const outStrides = order.map((axis) => strides[axis]!);
  const count = elementCount(shape);
  return rearrange(tensor, outShape, 1, (copy) => {
    const position = outShape.map(() => 0);
    let from = 0;
    for (let to = 0; to < count; to++) {
      copy(from, to);
      for (let axis = outShape.length - 1; axis >= 0; axis--) {
        position[axis]!++;
        from += outStrides[axis]!;
        if (position[axis]! < outShape[axis]!) break;
        from -= outStrides[axis]! * outShape[axis]!;
        position[axis] = 0;
      }
    }
  });
}

/**
 * The content of a tensor, checked to be as long as type and shape ask for.
 * @throws DgateError `SHAPE` if it is not.
 */
export function contentOf(tensor: Tensor): Uint8Array {
  const { dtype, shape, bytes } = tensor;
  const expected = byteLengthOf(dtype, shape);
  if (bytes.length !== expected) {
    throw new DgateError(
      "SHAPE",
      `${dtype}[${shape.join(", ")}] needs ${expected} bytes of content, got ${bytes.length}.`,
    );
  }
  return bytes;
}

/** Runs of `run` elements moved to other places; elements below a byte are unpacked first and packed again. */
function rearrange(
  tensor: Tensor,
  shape: readonly number[],
  run: number,
  moves: (copy: (from: number, to: number) => void) => void,
): Tensor {
  const { dtype } = tensor;
  if (dtype === "string") {
    const source = tensor.strings ?? [];
    const strings: Uint8Array[] = [];
    moves((from, to) => {
      for (let i = 0; i < run; i++) strings[to + i] = source[from + i]!;
    });
    return { dtype, shape, bytes: new Uint8Array(0), strings };
  }
  const bits = elementBits[dtype];
  const packed = bits < 8;
  const source = packed ? unpack(contentOf(tensor), bits, elementCount(tensor.shape)) : contentOf(tensor);
  const width = packed ? 1 : bits / 8;
  const target = new Uint8Array(elementCount(shape) * width);
  moves(runCopier(source, target, run * width, width));
  return { dtype, shape, bytes: packed ? pack(target, bits) : target };
}

/** Copies `length` bytes; short runs by hand, where `set` with its `subarray` costs more than the bytes. */
function runCopier(
  source: Uint8Array,
  target: Uint8Array,
  length: number,
  width: number,
): (from: number, to: number) => void {
  if (length > 32) {
    return (from, to) => target.set(source.subarray(from * width, from * width + length), to * width);
  }
  return (from, to) => {
    const start = from * width;
    const end = to * width;
    for (let i = 0; i < length; i++) target[end + i] = source[start + i]!;
  };
}

function checkAxis(shape: readonly number[], axis: number): number {
  if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
    throw new DgateError(
      "SHAPE",
      `axis ${axis} is not one of the ${shape.length} axes of [${shape.join(", ")}].`,
    );
  }
  return axis;
}

function checkIntegers(
  dtype: DataType,
  values: ArrayLike<number>,
  [low, high]: readonly [number, number],
): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new DgateError(
        "DATA",
        `tensorOf: element ${i} is ${value}, but ${dtype} holds integers from ${low} to ${high}.`,
      );
    }
  }
}

function encode(dtype: DataType, values: ArrayLike<number>): Uint8Array {
  switch (dtype) {
    case "float32":
      return bytesOf(Float32Array.from(values));
    case "float64":
      return bytesOf(Float64Array.from(values));
    case "int8":
    case "uint8":
    case "bool":
      return Uint8Array.from(values);
    case "int16":
    case "uint16":
      return bytesOf(Uint16Array.from(values));
    case "int32":
    case "uint32":
      return bytesOf(Uint32Array.from(values));
    case "int64":
    case "uint64":
      return bytesOf(BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i]!)));
    case "float16":
    case "bfloat16":
      return bytesOf(Uint16Array.from(values, (value) => encodeSmallFloat(value, smallFloats[dtype])));
    case "int4":
    case "uint4":
    case "int2":
    case "uint2":
      return pack(Uint8Array.from(values), elementBits[dtype]);
    default:
      throw new DgateError(
        "UNSUPPORTED",
        `tensorOf: ${dtype} tensors can be carried but not made from numbers.`,
      );
  }
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Content of a file is not aligned in general, and a typed array needs it to be. */
function alignedCopy(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}

function read64(dtype: "int64" | "uint64", bytes: Uint8Array, count: number): Float64Array<ArrayBuffer> {
  const words = new Uint32Array(alignedCopy(bytes));
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const low = words[2 * i]!;
    const high = dtype === "int64" ? words[2 * i + 1]! | 0 : words[2 * i + 1]!;
    const value = high * 2 ** 32 + low;
    if (Number.isSafeInteger(value)) out[i] = value;
    else if (low === 0xffffffff && (high === 0x7fffffff || high === 0xffffffff))
      out[i] = Number.MAX_SAFE_INTEGER;
    else if (low === 0 && high === -(2 ** 31)) out[i] = Number.MIN_SAFE_INTEGER;
    else throw new DgateError("DATA", `readNumbers: ${dtype} element ${i}, about ${value}, is beyond ±2^53.`);
  }
  return out;
}

/** Elements of `bits` bits, the first in the low bits of a byte, to one byte each. */
function unpack(bytes: Uint8Array, bits: number, count: number): Uint8Array<ArrayBuffer> {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++)
    out[i] = (bytes[Math.floor(i / perByte)]! >>> ((i % perByte) * bits)) & mask;
  return out;
}

function pack(codes: Uint8Array, bits: number): Uint8Array {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const out = new Uint8Array(Math.ceil(codes.length / perByte));
  for (let i = 0; i < codes.length; i++) {
    out[Math.floor(i / perByte)]! |= (codes[i]! & mask) << ((i % perByte) * bits);
  }
  return out;
}

const tables = new Map<string, Float32Array>();

function smallFloatTableOf(dtype: keyof typeof smallFloats): Float32Array {
  let table = tables.get(dtype);
  if (!table) {
    const format: SmallFloat = smallFloats[dtype];
    table = smallFloatTable(format);
    tables.set(dtype, table);
  }
  return table;
}
