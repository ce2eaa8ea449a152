import type { DataType } from "../../src/graph/tensor.ts";
import type { Call, Kernel } from "./call.ts";
import { type Float64Tensor, float64Of, float64Tensor, sizeOf } from "./tensor.ts";

/** The sizes from axis `start` to before axis `end`. */
function shapeOf(call: Call): Float64Tensor {
  const { shape } = call.input(0);
  const sizes = shape.slice(call.int("start", 0), call.int("end", shape.length));
  return float64Tensor([sizes.length], sizes, "int64");
}

function constantOfShape(call: Call): Float64Tensor {
  const shape = call.numbers(0)!;
  const attribute = call.node.attributes.get("value");
  const value = attribute?.kind === "tensor" ? float64Of(attribute.value) : undefined;
  const data = new Float64Array(sizeOf(shape)).fill(value?.data[0] ?? 0);
  return { dtype: value?.dtype ?? "float32", shape, data };
}

function range(call: Call): Float64Tensor {
  const [start, limit, delta] = [0, 1, 2].map((i) => call.input(i).data[0]!);
  const count = Math.max(0, Math.ceil((limit! - start!) / delta!));
  const data = Float64Array.from({ length: count }, (_, i) => start! + i * delta!);
  return { dtype: call.input(0).dtype, shape: [count], data };
}

const list = (values: readonly number[], dtype: DataType): Float64Tensor =>
  float64Tensor([values.length], values, dtype);
const scalar = (value: number, dtype: DataType): Float64Tensor => float64Tensor([], [value], dtype);

function constant(call: Call): Float64Tensor {
  for (const [name, attribute] of call.node.attributes) {
    if (attribute.kind === "tensor" && name === "value") return float64Of(attribute.value);
    if (attribute.kind === "float" && name === "value_float") return scalar(attribute.value, "float32");
    if (attribute.kind === "int" && name === "value_int") return scalar(attribute.value, "int64");
    if (attribute.kind === "floats" && name === "value_floats") return list(attribute.value, "float32");
    if (attribute.kind === "ints" && name === "value_ints") return list(attribute.value, "int64");
  }
  return call.fail("no numeric value");
}

/** Operators that make their output of sizes and attributes. */
export const shapeKernels: { readonly [op: string]: Kernel } = {
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Range: range,
  Shape: shapeOf,
  Size: (call) => float64Tensor([], [call.input(0).data.length], "int64"),
};
