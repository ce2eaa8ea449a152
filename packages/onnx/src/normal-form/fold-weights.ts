import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { NodeView } from "../infer/view.ts";
import { elementCount } from "../io/element-types.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import type { BinaryOp, UnaryOp } from "../ops/families.ts";
import { applyTo } from "../ops/rule-of.ts";
import { binaryFunctions, unaryFunctions } from "../ops/scalar-functions.ts";

/** Element-wise arithmetic that weights are written with. */
const arithmetic: ReadonlySet<string> = new Set<BinaryOp>(["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"]);
const unary: ReadonlySet<string> = new Set<UnaryOp>(["Abs", "Exp", "Neg", "Reciprocal", "Sqrt"]);

/** What a reduction makes of each element, of their sum or extreme, and of the end. */
interface Reduction {
  readonly start: number;
  readonly step: (total: number, x: number) => number;
  readonly end: (total: number, count: number) => number;
}

const same = (total: number): number => total;
const add = (total: number, x: number): number => total + x;
const addSquare = (total: number, x: number): number => total + x * x;

const reductions: Readonly<Record<string, Reduction>> = {
  ReduceL1: { start: 0, step: (total, x) => total + Math.abs(x), end: same },
  ReduceL2: { start: 0, step: addSquare, end: Math.sqrt },
  ReduceMax: { start: -Infinity, step: Math.max, end: same },
  ReduceMean: { start: 0, step: add, end: (total, count) => total / count },
  ReduceMin: { start: Infinity, step: Math.min, end: same },
  ReduceSum: { start: 0, step: add, end: same },
  ReduceSumSquare: { start: 0, step: addSquare, end: same },
};

/**
 * Computes weights that a model computes from constants alone (a scaled weight, `g·v/‖v‖` of weight normalisation), so that they
 * are weights like others. In float64, rounded after every operator as the runtime rounds; the sums of a norm may differ from
 * the runtime's in the last bit. A constant that has other uses is left as it is, and so is a result that is larger than what it
 * is computed from.
 *
 * @param data the content of a value that no caller can change
 * @param replace puts a constant in the place of a node's output; whether it could
 * @returns the number of nodes folded
 */
export function foldWeights(
  graph: Graph,
  data: (value: Value) => Tensor | undefined,
  replace: (node: Node, tensor: Tensor) => boolean,
): number {
  const nodes = computations(graph, data);
  if (nodes.size === 0) return 0;
  const inference = inferShapes(graph);
  let edits = 0;
  for (const node of nodes) {
    const inputs = node.inputs.map((value) => value!);
    const tensors = inputs.map((value) => data(value));
    const shape = inference.types.get(node.outputs[0]!)?.shape;
    const known = tensors.every((tensor) => tensor !== undefined) && isFloat(tensors[0]!);
    if (!known || !shape?.every((dim) => typeof dim === "number") || grows(tensors, shape)) continue;
    const view = new NodeView(graph, node, inference);
    const numbers = applyTo(node, () => compute(view, tensors, shape));
    if (!numbers || !replace(node, tensorOf(tensors[0]!.dtype, shape, numbers))) continue;
    for (const value of inputs)
      if (value.data && graph.uses(value).length === 0) graph.removeInitializer(value);
    edits += 1;
  }
  return edits;
}

/** Whether a result is larger than all that it is computed from: an outer product would take more room than the model. */
const grows = (inputs: readonly Tensor[], shape: readonly number[]): boolean =>
  elementCount(shape) > Math.max(...inputs.map((input) => elementCount(input.shape)));

/** Nodes that compute from constants which nobody else reads, in topological order. */
function computations(graph: Graph, data: (value: Value) => Tensor | undefined): ReadonlySet<Node> {
  const found = new Set<Node>();
  const made = new Set<Value>();
  const isFoldable = ({ domain, op, inputs }: Node): boolean =>
    domain === "" &&
    (arithmetic.has(op) || unary.has(op) || Object.hasOwn(reductions, op)) &&
    inputs.length > 0 &&
    inputs.every((value) => value && (made.has(value) || data(value)));
  for (const node of graph.sorted()) {
    if (!isFoldable(node)) continue;
    found.add(node);
    made.add(node.outputs[0]!);
  }
  // What reads a shared constant stays, and with it what reads its result.
  let stays: Node[];
  do {
    const shared = new Set(graph.initializers.filter((value) => isShared(graph, value, found)));
    const isOpen = (value: Value | undefined): boolean =>
      value !== undefined && (shared.has(value) || (!value.data && !made.has(value)));
    stays = [...found].filter(({ inputs }) => inputs.some(isOpen));
    for (const node of stays) {
      found.delete(node);
      made.delete(node.outputs[0]!);
    }
  } while (stays.length > 0);
  return found;
}

/** Whether a constant of more than one number is read by others than the nodes found. */
function isShared(graph: Graph, value: Value, found: ReadonlySet<Node>): boolean {
  return !isSmall(value) && graph.uses(value).some(({ node }) => !node || !found.has(node));
}

const isSmall = ({ data }: Value): boolean => data !== undefined && elementCount(data.shape) === 1;

const isFloat = ({ dtype }: Tensor): boolean => dtype === "float32" || dtype === "float64";

function compute(
  view: NodeView,
  inputs: readonly Tensor[],
  shape: readonly number[],
): Float64Array | undefined {
  const { op } = view.node;
  if (unary.has(op)) {
    const f = unaryFunctions[op as UnaryOp](view); // `unary` holds their names only
    return f && Float64Array.from(readNumbers(inputs[0]!), (x) => f(x));
  }
  if (!arithmetic.has(op)) return reduce(view, inputs[0]!, shape);
  const f = binaryFunctions[op as BinaryOp]; // `arithmetic` holds their names only
  return inputs.map((input) => broadcast(input, shape)).reduce((a, b) => a.map((x, i) => f(x, b[i]!)));
}

/** A tensor's elements, repeated over a larger shape. */
function broadcast(tensor: Tensor, shape: readonly number[]): Float64Array {
  const numbers = readNumbers(tensor);
  const lead = shape.length - tensor.shape.length;
  const strides = stridesOf(tensor.shape).map((stride, axis) => (tensor.shape[axis] === 1 ? 0 : stride));
  const outer = stridesOf(shape);
  return Float64Array.from({ length: elementCount(shape) }, (_, i) => {
    let at = 0;
    strides.forEach((stride, axis) => {
      at += stride * (Math.floor(i / outer[axis + lead]!) % shape[axis + lead]!);
    });
    return numbers[at]!;
  });
}

function reduce(view: NodeView, tensor: Tensor, shape: readonly number[]): Float64Array | undefined {
  const axes = view.axes(1);
  if (axes === "unknown") return undefined;
  const noop = (axes?.length ?? 0) === 0 && intAttribute(view.node, "noop_with_empty_axes", 0) !== 0;
  const { start, step, end } = reductions[view.node.op]!;
  const rank = tensor.shape.length;
  const gone = new Set(axes?.map((axis) => frontAxis(axis, rank)));
  const reduced = (axis: number): boolean => !noop && (gone.size === 0 || gone.has(axis));
  const left = tensor.shape.map((size, axis) => (reduced(axis) ? 1 : size));
  const [from, to] = [stridesOf(tensor.shape), stridesOf(left)];
  const totals = new Float64Array(elementCount(shape)).fill(start);
  const numbers = readNumbers(tensor);
  for (let i = 0; i < numbers.length; i++) {
    let at = 0;
    for (let axis = 0; axis < rank; axis++) {
      if (!reduced(axis)) at += to[axis]! * (Math.floor(i / from[axis]!) % tensor.shape[axis]!);
    }
    totals[at] = step(totals[at]!, numbers[i]!);
  }
  return totals.map((total) => end(total, numbers.length / totals.length));
}

function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
}
