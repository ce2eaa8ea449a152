import { broadcastShape, DgateError, type TensorOps } from "@dgate/core";
import { type Attribute, int, ints, string } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { tensorOf } from "../io/tensor-data.ts";

/** The first operator set of each form that is emitted. */
const opsets = {
  /** Add, Sub, Mul and Div broadcast as NumPy does. */
  broadcast: 7,
  /** ReduceSum takes its axes as an input. */
  axesInput: 13,
  /** ScatterElements adds. */
  scatterAdd: 16,
};

/** Element types that gates and weights can have. */
export type GateType = "float32" | "float64" | "float16" | "bfloat16";

/** Options of `graphOps`. */
export interface GraphOpsOptions {
  /** Element type of the constants, and so of all that is computed with them (default `float32`). */
  readonly dtype?: GateType;
  /** What the names of new values start with (default `gating`). */
  readonly scope?: string;
}

/**
 * The gating algebra's operations on the values of a graph: each call adds a node of plain ONNX operators, in the form of the
 * graph's operator set, and gives its output, typed. `scale`, `square` and `pow` take their number from a new initializer; an operation
 * that changes nothing adds no node.
 *
 *     const ops = graphOps(graph);
 *     const [w] = collapse(ops, set, { primary: [omega], gates: [gate] });
 *
 * Only values of static shape can take part, and values of another type than `dtype` cannot meet its constants: the runtime
 * refuses such a graph.
 *
 * @throws DgateError `UNSUPPORTED` for an operator set before 7, and from `segmentSum` before 16 if the segments differ in size; the operations throw `SHAPE` for values of unknown shape, shapes that do not broadcast and indices out
 * of range.
 */
export function graphOps(graph: Graph, options: GraphOpsOptions = {}): TensorOps<Value> {
  const emitter = new Emitter(graph, options);
  emitter.need(opsets.broadcast, "the operations");
  const binary =
    (op: string) =>
    (a: Value, b: Value): Value =>
      emitter.node(op, [a, b], broadcastShape(shapeOf(a), shapeOf(b)));
  const unary =
    (op: string) =>
    (x: Value): Value =>
      emitter.node(op, [x], shapeOf(x));
  const mul = binary("Mul");
  return {
    shapeOf,
    scalar: (value) => emitter.numbers([value], []),
    constant: (values, shape) => emitter.numbers(values, shape),
    add: binary("Add"),
    sub: binary("Sub"),
    mul,
    div: binary("Div"),
    scale: (x, factor) => (factor === 1 ? x : mul(x, emitter.numbers([factor], []))),
    square: (x) => mul(x, x),
    sqrt: unary("Sqrt"),
    abs: unary("Abs"),
    pow: (x, exponent) => emitter.node("Pow", [x, emitter.numbers([exponent], [])], shapeOf(x)),
    sum: (x, axes) => sum(emitter, x, axes),
    reshape: (x, shape) => reshape(emitter, x, shape),
    gather: (x, indices) => gather(emitter, x, indices),
    segmentSum: (x, segments, count) => segmentSum(emitter, x, segments, count),
  };
}

/** Adds typed nodes and constants to a graph. */
class Emitter {
  readonly opset: number;
  readonly #graph: Graph;
  readonly #dtype: GateType;
  readonly #scope: string;

  constructor(graph: Graph, { dtype = "float32", scope = "gating" }: GraphOpsOptions) {
    this.opset = graph.opsets.get("") ?? 0;
    this.#graph = graph;
    this.#dtype = dtype;
    this.#scope = scope;
  }

  /** Refuses a graph whose operator set is older than what is to be emitted. */
  need(opset: number, what: string): void {
    if (this.opset >= opset) return;
    throw new DgateError(
      "UNSUPPORTED",
      `graphOps: graph "${this.#graph.name}" has opset ${this.opset}, but ${what} need ${opset} or later; convert the model first.`,
    );
  }

  numbers(values: ArrayLike<number>, shape: readonly number[]): Value {
    return this.#constant(tensorOf(this.#dtype, shape, values));
  }

  integers(values: readonly number[]): Value {
    return this.#constant(tensorOf("int64", [values.length], values));
  }

  node(
    op: string,
    inputs: readonly [Value, ...Value[]],
    shape: readonly number[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const dtype = inputs[0].type?.dtype ?? this.#dtype;
    const output = this.#graph.addValue(this.#fresh(op), { dtype, shape });
    this.#graph.addNode({ op, inputs, outputs: [output], attributes });
    return output;
  }

  #constant(data: Tensor): Value {
    return this.#graph.addInitializer(this.#fresh("constant"), data);
  }

  #fresh(stem: string): string {
    return this.#graph.freshName(`${this.#scope}/${stem}`);
  }
}

function shapeOf({ name, type }: Value): readonly number[] {
  const shape = type?.shape;
  if (shape?.every((dim) => typeof dim === "number")) return shape;
  throw new DgateError(
    "SHAPE",
    `graphOps: "${name}" is ${shape ? `[${shape.map((dim) => dim ?? "?").join(", ")}]` : "of unknown shape"}, ` +
      "expected a static shape; gate weights, or set the value's type.",
  );
}

function sum(emitter: Emitter, x: Value, axes?: readonly number[]): Value {
  const shape = shapeOf(x);
  const outside = axes?.find((axis) => !(axis in shape));
  if (outside !== undefined) {
    throw new DgateError(
      "SHAPE",
      `graphOps: sum over axis ${outside}, which [${shape.join(", ")}] does not have.`,
    );
  }
  // No axes at all would mean every axis to ReduceSum.
  if (axes?.length === 0 || shape.length === 0) return x;
  const over = axes ?? shape.map((_, axis) => axis);
  const kept = shape.filter((_, axis) => !over.includes(axis));
  return emitter.opset >= opsets.axesInput
    ? emitter.node("ReduceSum", [x, emitter.integers(over)], kept, { keepdims: int(0) })
    : emitter.node("ReduceSum", [x], kept, { keepdims: int(0), axes: ints(over) });
}

function reshape(emitter: Emitter, x: Value, shape: readonly number[]): Value {
  const before = shapeOf(x);
  if (elementCount(before) !== elementCount(shape)) {
    throw new DgateError(
      "SHAPE",
      `graphOps: [${before.join(", ")}] cannot be reshaped to [${shape.join(", ")}]: the counts differ.`,
    );
  }
  return emitter.node("Reshape", [x, emitter.integers(shape)], [...shape]);
}

function gather(emitter: Emitter, x: Value, indices: readonly number[]): Value {
  const [rows = 0, ...rest] = shapeOf(x);
  const outside = indices.find((index) => !(index >= 0 && index < rows));
  if (outside !== undefined) {
    throw new DgateError("SHAPE", `graphOps: gather of index ${outside} from axis 0 of length ${rows}.`);
  }
  return emitter.node("Gather", [x, emitter.integers(indices)], [indices.length, ...rest], { axis: int(0) });
}

/**
 * Segments of one size are gathered side by side and summed as rows, which every operator set has. Others are added to zeros
 * at their places; those of segment −1 are left behind by a Gather first.
 */
function segmentSum(emitter: Emitter, x: Value, segments: readonly number[], count: number): Value {
  const shape = shapeOf(x);
  if (shape.length !== 1 || shape[0] !== segments.length || segments.some((segment) => segment >= count)) {
    throw new DgateError(
      "SHAPE",
      `graphOps: segmentSum takes a vector and a segment below ${count} for each of its elements, ` +
        `got [${shape.join(", ")}] and ${segments.length} segments up to ${segments.reduce((a, b) => Math.max(a, b), -1)}.`,
    );
  }
  const places = Array.from({ length: count }, (): number[] => []);
  segments.forEach((segment, i) => places[segment]?.push(i));
  const size = places[0]?.length ?? 0;
  if (size > 0 && places.every((segment) => segment.length === size)) {
    const rows = reshape(emitter, gather(emitter, x, places.flat()), [count, size]);
    return sum(emitter, rows, [1]);
  }
  emitter.need(opsets.scatterAdd, "sums over groups of several sizes that are not runs of an axis");
  const zeros = emitter.numbers(new Float64Array(count), [count]);
  const inside = segments.flatMap((segment, i) => (segment >= 0 ? [i] : []));
  if (inside.length === 0) return zeros;
  const values = inside.length === segments.length ? x : gather(emitter, x, inside);
  const targets = emitter.integers(inside.map((i) => segments[i]!));
  return emitter.node("ScatterElements", [zeros, targets, values], [count], {
    axis: int(0),
    reduction: string("add"),
  });
}
