import type { DiffOps } from "../operators/diff-ops.ts";
import { int } from "../graph/attribute.ts";
import { intAttribute, intsAttribute } from "../ops/attributes.ts";
import type { Decomposition, DecompositionTable } from "./decomposition.ts";
import { axesFrom, normDecompositions, rankOf } from "./norm-decompositions.ts";
import { refuse } from "./refuse.ts";

/** A reduction over all positions of `[N, C, …]`. */
const overPositions =
  (reduction: string): Decomposition =>
  (ops, { node, inputs: [x] }) => [ops.reduce(reduction, x!, axesFrom(2, rankOf(ops, node, x!)), true)];

/** |x|^p */
function powered<T>(ops: DiffOps<T>, x: T, p: number): T {
  if (p === 2) return ops.square(x);
  const size = ops.call("Abs", [x]);
  return p === 1 ? size : ops.pow(size, p);
}

/** x^(1/p) for x ≥ 0 */
function root<T>(ops: DiffOps<T>, x: T, p: number): T {
  if (p === 2) return ops.sqrt(x);
  return p === 1 ? x : ops.pow(x, 1 / p);
}

/** (Σ |x|^p)^(1/p) over all positions. */
const globalLpPool: Decomposition = (ops, at) => {
  const p = intAttribute(at.node, "p", 2);
  if (p === 1) return overPositions("ReduceL1")(ops, at);
  if (p === 2) return overPositions("ReduceL2")(ops, at);
  const x = at.inputs[0]!;
  const axes = axesFrom(2, rankOf(ops, at.node, x));
  return [root(ops, ops.sum(powered(ops, x, p), axes), p)];
};

const windowAttributes = ["kernel_shape", "strides", "pads", "auto_pad"];

/** (Σ |x|^p)^(1/p) over windows: an average that counts the padding, times the size of the window. */
const lpPool: Decomposition = (ops, { node, inputs: [x] }) => {
  const p = intAttribute(node, "p", 2);
  const kernel = intsAttribute(node, "kernel_shape") ?? [];
  if (intsAttribute(node, "dilations")?.some((step) => step !== 1))
    return refuse(node, "its window is dilated");
  if (intAttribute(node, "ceil_mode", 0) !== 0)
    return refuse(node, "ceil_mode lets a window reach past the padding");
  const kept = [...node.attributes].filter(([name]) => windowAttributes.includes(name));
  const average = ops.call("AveragePool", [powered(ops, x!, p)], {
    ...Object.fromEntries(kept),
    count_include_pad: int(1),
  });
  const size = kernel.reduce((a, b) => a * b, 1);
  return [root(ops, ops.scale(average, size), p)];
};

/** In inference all elements stay, and the mask says so. */
const dropout: Decomposition = (ops, { node, inputs: [x, , training], wanted }) => {
  // Without the input it is inference.
  const flag = training === undefined ? 0 : ops.integers(training)?.[0];
  if (flag !== 0) return refuse(node, "it drops elements at random; export the model for inference");
  const mask = wanted(1) ? ops.call("Expand", [ops.constant("bool", [], [1]), ops.shapeOf(x!)]) : undefined;
  return [x, mask];
};

/**
 * Operators of the standard domain that need no derivative rule of their own, and onnxruntime's SimplifiedLayerNormalization: what
 * they compute is written with others that have one.
 */
export const standardDecompositions: DecompositionTable = {
  ...normDecompositions,
  GlobalAveragePool: overPositions("ReduceMean"),
  GlobalMaxPool: overPositions("ReduceMax"),
  GlobalLpPool: globalLpPool,
  LpPool: lpPool,
  Dropout: dropout,
  CastLike: (ops, { inputs: [x, like] }) => [ops.cast(x!, ops.dtype(like!))],
};
