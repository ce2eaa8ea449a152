import { type DataType, type Graph, int, ints, tensor, tensorOf, type Value } from "@dgate/onnx";
import { dataTypes } from "../../src/graph/tensor.ts";
import { GraphWriter, type WriterOptions } from "./graph-writer.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** The size of one axis of a value, read at run time where it is needed. */
export interface AxisSize {
  readonly of: Value;
  readonly axis: number;
}

/** A size: a number (−1 for "the rest"), an int64 scalar of the graph, or an axis of a value. */
export type Size = number | Value | AxisSize;

/**
 * How sizes get into Reshape and Expand. `computed`: Shape, Gather, Unsqueeze, Concat, as TorchScript traces `x.size(0)`. `sliced`:
 * Shape with `start` and `end` (opset 15), as the dynamo exporter writes. `constant`: for Reshape a constant with 0 for
 * axes that stay and −1 for another unknown one, as simplifiers leave it where that can say it; else as computed.
 */
export type ShapeStyle = "computed" | "sliced" | "constant";

/** Options of an exporter. */
export interface ExporterOptions extends WriterOptions {
  readonly shapes?: ShapeStyle;
}

const end = Number.MAX_SAFE_INTEGER;

const elementwise: ReadonlySet<string> = new Set(["Add", "Sub", "Mul", "Div"]);

/** Removes nodes whose outputs nothing reads, and then initializers. */
export function dropDeadCode(graph: Graph): void {
  for (const node of graph.nodes().toReversed())
    if (node.outputs.every((value) => value === undefined || graph.uses(value).length === 0))
      graph.remove(node);
  for (const value of graph.initializers) if (graph.uses(value).length === 0) graph.removeInitializer(value);
}

/** A graph writer with the operators of torch.onnx as they look at its opset. */
export class Exporter extends GraphWriter {
  readonly shapes: ShapeStyle;
  /** Which axis a scalar was read from. */
  readonly #origins = new Map<Value, AxisSize>();

  constructor(options: ExporterOptions = {}, parent?: Exporter) {
    super(options, parent);
    this.shapes = options.shapes ?? "computed";
  }

  /** The written model, without what nothing reads: exporters leave no dead code. */
  finish(
    attention: readonly AttentionExpectation[],
    dims: Readonly<Record<string, number>>,
  ): TransformerModel {
    dropDeadCode(this.graph);
    return { graph: this.graph, attention, dims, inputs: this.specs };
  }

  /** A writer for an If branch. */
  branch(name: string): Exporter {
    return new Exporter({ ...this.options, name, shapes: this.shapes }, this);
  }

  i64(value: number): Value {
    return this.constant("int64", [], [value]);
  }

  i64s(values: readonly number[]): Value {
    return this.constant("int64", [values.length], values);
  }

  f32(value: number): Value {
    return this.constant("float32", [], [value]);
  }

  sizeOf(of: Value, axis: number): AxisSize {
    return { of, axis };
  }

  /** A size as an int64 scalar: Gather(Shape(x), axis). */
  scalar(size: Size): Value {
    if (typeof size === "number") return this.i64(size);
    if (!("of" in size)) return size;
    const scalar =
      this.shapes === "sliced"
        ? this.squeeze(this.#cutShape(size), [0])
        : this.gather(this.op("Shape", [size.of]), this.i64(size.axis), 0);
    this.#origins.set(scalar, size);
    return scalar;
  }

  #cutShape({ of, axis }: AxisSize): Value {
    return this.op("Shape", [of], { start: int(axis), end: int(axis + 1) });
  }

  /** Sizes as one int64 list: Concat of unsqueezed scalars and constants. */
  sizes(sizes: readonly Size[]): Value {
    if (sizes.every((size) => typeof size === "number")) return this.i64s(sizes);
    const part = (size: Size): Value => {
      if (typeof size === "number") return this.i64s([size]);
      if ("of" in size && this.shapes === "sliced") return this.#cutShape(size);
      return this.unsqueeze(this.scalar(size), [0]);
    };
    const parts = sizes.map(part);
    return this.concat(parts, 0);
  }

  reshape(x: Value, sizes: readonly Size[]): Value {
    const target = (this.shapes === "constant" && this.#constantTarget(x, sizes)) || this.sizes(sizes);
    return this.op("Reshape", [x, target], this.opset >= 14 ? { allowzero: int(0) } : {});
  }

  #constantTarget(x: Value, sizes: readonly Size[]): Value | undefined {
    const target = sizes.map((size, axis) => {
      if (typeof size === "number") return size;
      const origin = "of" in size ? size : this.#origins.get(size);
      return origin?.axis === axis && this.#keepsAxis(x, origin.of, axis) ? 0 : -1;
    });
    return target.filter((size) => size < 0).length < 2 ? this.i64s(target) : undefined;
  }

  /** Whether the axis of `x` is that of `from`, of which `x` is computed by operators that leave all axes but the last. */
  #keepsAxis(x: Value, from: Value, axis: number): boolean {
    if (x === from) return true;
    const node = this.graph.producer(x);
    if (!node || axis > 1) return false;
    const sources =
      node.op === "MatMul" ? node.inputs.slice(0, 1) : elementwise.has(node.op) ? node.inputs : [];
    return sources.some((source) => source !== undefined && this.#keepsAxis(source, from, axis));
  }

  /**
   * torch's `x.expand(sizes)`: −1 keeps a size, so the exporter replaces −1 by 1 with ConstantOfShape, Mul, Equal and Where
   * before Expand.
   */
  expand(x: Value, sizes: readonly Size[]): Value {
    const list = this.sizes(sizes);
    const one = { value: tensor(tensorOf("int64", [1], [1])) };
    const ones = this.op("ConstantOfShape", [this.i64s([sizes.length])], one);
    const minus = this.op("Mul", [ones, this.i64(-1)]);
    return this.op("Expand", [x, this.op("Where", [this.op("Equal", [list, minus]), ones, list])]);
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.op("Transpose", [x], { perm: ints(perm) });
  }

  unsqueeze(x: Value, axes: readonly number[]): Value {
    return this.#withAxes("Unsqueeze", x, axes, 13);
  }

  squeeze(x: Value, axes: readonly number[]): Value {
    return this.#withAxes("Squeeze", x, axes, 13);
  }

  reduceMean(x: Value, axes: readonly number[], keepdims = true): Value {
    const attributes = keepdims ? {} : { keepdims: int(0) };
    if (this.opset < 18) return this.op("ReduceMean", [x], { axes: ints(axes), ...attributes });
    return this.op("ReduceMean", [x, this.i64s(axes)], attributes);
  }

  reduceSum(x: Value, axes: readonly number[], keepdims = true): Value {
    return this.#withAxes("ReduceSum", x, axes, 13, keepdims ? {} : { keepdims: int(0) });
  }

  #withAxes(op: string, x: Value, axes: readonly number[], since: number, attributes = {}): Value {
    if (this.opset < since) return this.op(op, [x], { axes: ints(axes), ...attributes });
    return this.op(op, [x, this.i64s(axes)], attributes);
  }

  /** Softmax over the last of `rank` axes. */
  softmax(x: Value, rank = 4): Value {
    return this.op("Softmax", [x], { axis: int(this.opset < 13 ? rank - 1 : -1) });
  }

  concat(values: readonly Value[], axis: number): Value {
    return this.op("Concat", values, { axis: int(axis) });
  }

  gather(x: Value, index: Value, axis?: number): Value {
    return this.op("Gather", [x, index], axis === undefined ? {} : { axis: int(axis) });
  }

  cast(x: Value, to: DataType): Value {
    return this.op("Cast", [x], { to: int(dataTypes[to]) });
  }

  /** `x[from:to]` on one axis; a bound that the graph computes is unsqueezed first. */
  slice(x: Value, from: Size, to: Size | undefined, axis: number, step = 1): Value {
    const bound = (size: Size): Value => this.sizes([size]);
    return this.op("Slice", [x, bound(from), bound(to ?? end), this.i64s([axis]), this.i64s([step])]);
  }

  split(x: Value, sizes: readonly number[], axis: number): Value[] {
    if (this.opset < 13) return this.ops("Split", [x], sizes.length, { axis: int(axis), split: ints(sizes) });
    return this.ops("Split", [x, this.i64s(sizes)], sizes.length, { axis: int(axis) });
  }
}
