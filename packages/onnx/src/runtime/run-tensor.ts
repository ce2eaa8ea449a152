import { DgateError } from "@dgate/core";
import { type DataType, dataTypes, type Tensor } from "../graph/tensor.ts";
import { byteLengthOf, elementCount } from "../io/element-types.ts";
import { contentOf, type NumberArray, readNumbers, readStrings, tensorOf } from "../io/tensor-data.ts";
import type { OrtModule, OrtTensor } from "./ort-module.ts";

/** Content of a tensor at run time: 64-bit integers as bigint, float16 and bfloat16 as their 16 bits, bool as 0 and 1. */
export type RunData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | readonly string[];

/** A tensor that a runner gives; it can be fed to a runner as it is. `data` is row-major. */
export interface RunTensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: RunData;
}

/**
 * What can be fed: a constant of a graph, a tensor that a runner gave, or plain data. The type is that of the model's
 * input if left out, else it follows from the typed array; the shape is `[data.length]` if left out.
 */
export type Feed =
  | Tensor
  | RunTensor
  | {
      readonly dtype?: DataType;
      readonly shape?: readonly number[];
      readonly data: RunData | ArrayLike<number>;
    };

type ArrayClass = new (buffer: ArrayBuffer) => Exclude<RunData, readonly string[]>;

/** The typed array that onnxruntime wants for each element type. */
const arrayClasses: { readonly [D in DataType]?: ArrayClass } = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int4: Uint8Array,
  uint4: Uint8Array,
};

const inferredTypes: readonly (readonly [ArrayClass, DataType])[] = [
  [Float32Array, "float32"],
  [Float64Array, "float64"],
  [Int8Array, "int8"],
  [Uint8Array, "uint8"],
  [Int16Array, "int16"],
  [Uint16Array, "uint16"],
  [Int32Array, "int32"],
  [Uint32Array, "uint32"],
  [BigInt64Array, "int64"],
  [BigUint64Array, "uint64"],
];

/** `name` as an element type of this package, if it is one. */
export function dataTypeNamed(name: string | undefined): DataType | undefined {
  return name !== undefined && Object.hasOwn(dataTypes, name) ? (name as DataType) : undefined;
}

/**
 * A feed as a tensor of the runtime.
 * @throws DgateError `SHAPE` if count and shape do not fit, `DATA` for a value out of range, `UNSUPPORTED` for a type that
 * onnxruntime's JavaScript interface does not take.
 */
export function toOrt(ort: OrtModule, name: string, feed: Feed, declared: DataType | undefined): OrtTensor {
  const dtype = feed.dtype ?? declared ?? inferType(feed);
  const shape = feed.shape ?? ("data" in feed ? [feed.data.length] : []);
  const data = "bytes" in feed ? dataOf(feed) : conform(name, dtype, shape, feed.data);
  return new ort.Tensor(dtype, data, [...shape]);
}

/** A tensor of the runtime as one of ours; shares memory. */
export function fromOrt(name: string, tensor: OrtTensor): RunTensor {
  const { type, dims, data } = tensor;
  const dtype = dataTypeNamed(type);
  if (!dtype)
    throw new DgateError("UNSUPPORTED", `output "${name}": element type ${type} is not known here.`);
  if (!ArrayBuffer.isView(data)) return { dtype, shape: dims, data };
  // Newer engines give float16 as Float16Array; its bits are the same everywhere.
  if (dtype === "float16") {
    return { dtype, shape: dims, data: new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2) };
  }
  return { dtype, shape: dims, data: data as Exclude<RunData, readonly string[]> }; // the class follows from `type`
}

/** The numbers of a run-time tensor, as `readNumbers` gives those of a constant. */
export function numbersOf(tensor: RunTensor): NumberArray {
  return readNumbers(constantOf(tensor));
}

/** A run-time tensor as a constant of a graph; shares memory. */
export function constantOf({ dtype, shape, data }: RunTensor): Tensor {
  if (!ArrayBuffer.isView(data)) return tensorOf("string", shape, data);
  return { dtype, shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

function inferType(feed: Feed): DataType {
  const data = "data" in feed ? feed.data : undefined;
  if (Array.isArray(data) && typeof data[0] === "string") return "string";
  return inferredTypes.find(([type]) => data instanceof type)?.[1] ?? "float32";
}

/** Content of a constant in the typed array that onnxruntime wants. */
function dataOf(tensor: Tensor): RunData {
  if (tensor.dtype === "string") return readStrings(tensor);
  const bytes = contentOf(tensor);
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return new (classOf(tensor.dtype))(copy);
}

function conform(
  name: string,
  dtype: DataType,
  shape: readonly number[],
  data: RunData | ArrayLike<number>,
): RunData {
  const Class = dtype === "string" ? undefined : classOf(dtype);
  const own = Class && data instanceof Class && dtype !== "int4" && dtype !== "uint4";
  if (own || (!Class && typeof data[0] === "string")) {
    if (data.length !== elementCount(shape)) {
      throw new DgateError(
        "SHAPE",
        `input "${name}": ${dtype}[${shape.join(", ")}] needs ${elementCount(shape)} values, got ${data.length}.`,
      );
    }
    return data as RunData; // an array of the class that the type asks for
  }
  if (Class && data instanceof Class && data.byteLength === byteLengthOf(dtype, shape)) return data; // packed 4-bit content
  // bigint arrays for other types and the like: numbers are the common ground.
  const values = Array.from<unknown, number>(data as ArrayLike<unknown>, Number);
  return dataOf(tensorOf(dtype, shape, values));
}

function classOf(dtype: DataType): ArrayClass {
  const Class = arrayClasses[dtype];
  if (!Class)
    throw new DgateError("UNSUPPORTED", `onnxruntime's JavaScript interface takes no ${dtype} tensors.`);
  return Class;
}
