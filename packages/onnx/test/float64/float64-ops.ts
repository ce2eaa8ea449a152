import type { DataType } from "../../src/graph/tensor.ts";
import { type Attributes, DiffOps } from "../../src/operators/diff-ops.ts";
import { evaluateNode } from "./evaluate-node.ts";
import type { Float64Tensor } from "./tensor.ts";

/** `DiffOps` on arrays of float64: a call computes. */
export class Float64Ops extends DiffOps<Float64Tensor> {
  override apply(
    op: string,
    inputs: readonly (Float64Tensor | undefined)[],
    attributes: Attributes = {},
    outputs = 1,
  ): readonly Float64Tensor[] {
    return evaluateNode({ op, attributes: new Map(Object.entries(attributes)) }, inputs, outputs);
  }

  override shape(x: Float64Tensor): readonly number[] {
    return x.shape;
  }

  override dtype(x: Float64Tensor): DataType {
    return x.dtype;
  }

  override constant(dtype: DataType, shape: readonly number[], values: ArrayLike<number>): Float64Tensor {
    return { dtype, shape, data: Float64Array.from(values) };
  }

  override content(x: Float64Tensor): readonly number[] | undefined {
    return x.dtype === "int64" || x.dtype === "int32" ? [...x.data] : undefined;
  }
}
