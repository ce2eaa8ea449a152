import { int } from "../../graph/attribute.ts";
import { elementCount } from "../../io/element-types.ts";
import { intAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpRow, VjpTable } from "../vjp.ts";

/** Whether a reduction has no axes to go over: `noop_with_empty_axes`, and none given. */
function isNoop<T>(ops: DiffOps<T>, { node, inputs: [, axes] }: Applied<T>): boolean {
  if (intAttribute(node, "noop_with_empty_axes", 0) === 0) return false;
  return !axes || ops.integers(axes)?.length === 0;
}

/** A reduced tensor with the reduced axes back, of size 1. */
function withAxes<T>(ops: DiffOps<T>, at: Applied<T>, reduced: T): T {
  const [x, axes] = at.inputs;
  // Of no axes every element is reduced by itself.
  if (intAttribute(at.node, "keepdims", 1) !== 0 || isNoop(ops, at)) return reduced;
  if (axes && ops.integers(axes)?.length !== 0) return ops.call("Unsqueeze", [reduced, axes]);
  const rank = ops.rank(x!);
  // A scalar stretches over a tensor of any rank.
  return rank === undefined
    ? reduced
    : ops.unsqueeze(
        reduced,
        Array.from({ length: rank }, (_, axis) => axis),
      );
}

/** The same reduction of another tensor of the input's shape, with axes kept. */
function again<T>(ops: DiffOps<T>, { inputs: [, axes] }: Applied<T>, x: T): T {
  return ops.call("ReduceSum", axes ? [x, axes] : [x], { keepdims: int(1) });
}

/** How many elements go into each result, as a factor for what is spread over them. */
function share<T>(ops: DiffOps<T>, { inputs: [x], outputs: [y] }: Applied<T>, g: T): T {
  const [from, to] = [ops.sizes(x!), ops.sizes(y!)];
  if (from && to) return ops.scale(g, elementCount(to) / elementCount(from));
  const size = (tensor: T): T => ops.cast(ops.call("Size", [tensor]), ops.dtype(g));
  return ops.mul(g, ops.div(size(y!), size(x!)));
}

/** A rule from x, y and g with their axes kept; what it gives is repeated over the reduced elements. */
const reduction = (rule: <T>(ops: DiffOps<T>, point: { x: T; y: T; g: T; at: Applied<T> }) => T): VjpRow => [
  (ops, at, g) => {
    const [x, y] = [at.inputs[0]!, at.outputs[0]!];
    return ops.expandLike(rule(ops, { x, y: withAxes(ops, at, y), g: withAxes(ops, at, g), at }), x);
  },
];

const sign = <T>(ops: DiffOps<T>, x: T): T => {
  const zero = ops.scalar(0, x);
  const positive = ops.cast(ops.call("Greater", [x, zero]), ops.dtype(x));
  return ops.sub(positive, ops.cast(ops.call("Less", [x, zero]), ops.dtype(x)));
};

/** Equal extremes share their gradient. */
const extreme: VjpRow = reduction((ops, { x, y, g, at }) => {
  const here = ops.cast(ops.call("Equal", [x, y]), ops.dtype(x));
  return ops.mul(here, isNoop(ops, at) ? g : ops.div(g, again(ops, at, here)));
});

/** The product of the other elements: y/x, and by hand where an element is 0. */
const product: Vjp = (ops, at, g) => {
  const [x, y] = [at.inputs[0]!, at.outputs[0]!];
  if (isNoop(ops, at)) return g;
  const zero = ops.call("Equal", [x, ops.scalar(0, x)]);
  const safe = ops.where(zero, ops.scalar(1, x), x);
  const axes = at.inputs[1];
  const rest = ops.call("ReduceProd", axes ? [safe, axes] : [safe], { keepdims: int(1) });
  const zeros = again(ops, at, ops.cast(zero, ops.dtype(x)));
  const only = ops.call("And", [zero, ops.call("Equal", [zeros, ops.scalar(1, x)])]);
  const others = ops.where(only, rest, ops.div(withAxes(ops, at, y), safe));
  return ops.mul(
    withAxes(ops, at, g),
    ops.where(ops.call("And", [zero, ops.call("Not", [only])]), ops.scalar(0, x), others),
  );
};

/** Sums, means, norms and extremes over axes. */
export const reductions: VjpTable = {
  ReduceL1: reduction((ops, { x, g }) => ops.mul(sign(ops, x), g)),
  ReduceL2: reduction((ops, { x, y, g }) => {
    // 0 where the norm is 0
    const norm = ops.where(ops.call("Equal", [y, ops.scalar(0, y)]), ops.scalar(1, y), y);
    return ops.mul(x, ops.div(g, norm));
  }),
  ReduceLogSum: reduction((ops, { y, g }) => ops.div(g, ops.exp(y))),
  ReduceLogSumExp: reduction((ops, { x, y, g }) => ops.mul(ops.exp(ops.sub(x, y)), g)),
  ReduceMax: extreme,
  ReduceMean: reduction((ops, { g, at }) => share(ops, at, g)),
  ReduceMin: extreme,
  ReduceProd: [product],
  ReduceSum: reduction((_, { g }) => g),
  ReduceSumSquare: reduction((ops, { x, g }) => ops.mul(ops.scale(x, 2), g)),
};
