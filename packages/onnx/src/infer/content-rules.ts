import type { Dim } from "../graph/graph.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { addDims, divideDims, floorDivideDims, multiplyDims, subtractDims } from "./dims.ts";
import { sliceBounds, sliceRanges } from "./shape-rules.ts";
import { contentLimit, type NodeView } from "./view.ts";

/** Elements of the first output in row-major order, `undefined` where they cannot be known before the run. */
export type ContentRule = (view: NodeView) => readonly Dim[] | undefined;

/** Element by element over values of one shape, a single element stretching over the other's. */
function zip(view: NodeView, combine: (a: Dim, b: Dim) => Dim, first = 0): readonly Dim[] | undefined {
  const a = view.content(first);
  const b = view.content(first + 1);
  if (!a || !b) return undefined;
  const same = a.length === b.length && view.shape(first)?.join() === view.shape(first + 1)?.join();
  if (!same && a.length !== 1 && b.length !== 1) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) =>
    combine(a.length === 1 ? a[0] : a[i], b.length === 1 ? b[0] : b[i]),
  );
}

const pass: ContentRule = (view) => view.content(0);

const map =
  (f: (x: number) => number): ContentRule =>
  (view) =>
    view.content(0)?.map((dim) => (typeof dim === "number" ? f(dim) : undefined));

/** One function for two numbers, another where a name takes part. */
const either =
  (f: (a: number, b: number) => number, symbolic: (a: Dim, b: Dim) => Dim) =>
  (a: Dim, b: Dim): Dim =>
    typeof a === "number" && typeof b === "number" ? f(a, b) : symbolic(a, b);

const numbers = (f: (a: number, b: number) => number) => either(f, () => undefined);

/** Integers divide without remainder towards zero; sizes are never negative. */
function quotient(view: NodeView): (a: Dim, b: Dim) => Dim {
  const whole = view.dtype(0)?.includes("int") === true;
  return (a, b) => {
    if (typeof b !== "number") return divideDims(a, b);
    if (b === 0) return undefined;
    if (typeof a === "number") return whole ? Math.trunc(a / b) : a / b;
    return whole ? floorDivideDims(a, b) : divideDims(a, b);
  };
}

/** Two sizes are the same if written the same; a size is never negative. */
const equal = (a: Dim, b: Dim): Dim => {
  if (a === undefined || b === undefined) return undefined;
  if (a === b) return 1;
  if (typeof a === "number" && typeof b === "number") return 0;
  return [a, b].some((dim) => typeof dim === "number" && dim < 0) ? 0 : undefined;
};

/** Whether a tensor has at most one axis longer than 1, so that turning it does not reorder its elements. */
const isLine = (shape: readonly Dim[] | undefined): boolean =>
  shape !== undefined && shape.filter((dim) => dim !== 1).length <= 1;

const rank = (view: NodeView, input = 0): number => view.shape(input)?.length ?? Number.NaN;

/**
 * Evaluates the arithmetic that models do on shapes (`Shape → Gather → Concat → Reshape`), symbols included. Elements of
 * float values are followed too, for scales such as `1 / Sqrt(Cast(Shape))`.
 */
export const contentRules: Readonly<Record<string, ContentRule>> = {
  Shape: (view) => {
    const shape = view.shape(0);
    if (!shape) return undefined;
    const end = intAttribute(view.node, "end", Number.MAX_SAFE_INTEGER);
    return shape.slice(...sliceBounds(shape.length, intAttribute(view.node, "start", 0), end));
  },
  Size: (view) => {
    const shape = view.shape(0);
    return shape && [multiplyDims(shape)];
  },
  Identity: pass,
  Cast: (view) => {
    const whole = view.type(view.output())?.dtype.includes("int") === true;
    return view.content(0)?.map((dim) => (typeof dim === "number" && whole ? Math.trunc(dim) : dim));
  },
  Squeeze: pass,
  Unsqueeze: pass,
  Reshape: pass,
  Flatten: pass,
  Transpose: (view) => (isLine(view.shape(0)) ? view.content(0) : undefined),
  Concat: (view) => {
    const joined: Dim[] = [];
    for (const i of view.node.inputs.keys()) {
      const part = view.content(i);
      if (!part || rank(view, i) !== 1 || joined.length + part.length > contentLimit) return undefined;
      joined.push(...part);
    }
    return joined;
  },
  Gather: (view) => {
    const data = view.content(0);
    const indices = view.integers(1);
    if (!data || !indices || rank(view) !== 1) return undefined;
    return indices.map((index) => data[frontAxis(index, data.length)]);
  },
  Slice: (view) => {
    const data = view.content(0);
    const ranges = sliceRanges(view);
    const { start, end, step } = ranges?.[0] ?? {};
    if (!data || rank(view) !== 1 || ranges?.length !== 1 || step !== 1) return undefined;
    if (typeof start !== "number" || typeof end !== "number") return undefined;
    return data.slice(...sliceBounds(data.length, start, end));
  },
  ConstantOfShape: (view) => {
    const sizes = view.integers(0);
    const count = sizes?.reduce((a, b) => a * b, 1);
    if (count === undefined || !(count >= 0 && count <= contentLimit)) return undefined;
    const value = view.node.attributes.get("value");
    const filler =
      value?.kind === "tensor" && value.value.dtype !== "string" ? readNumbers(value.value)[0] : 0;
    return Array.from({ length: count }, () => filler);
  },
  Expand: (view) => {
    const x = view.content(0);
    const sizes = view.integers(1);
    const count = sizes?.reduce((a, b) => a * b, 1);
    if (x?.length !== 1 || count === undefined || !(count >= 0 && count <= contentLimit)) return undefined;
    return Array.from({ length: Math.max(1, count) }, () => x[0]);
  },
  Range: (view) => {
    const [start, limit, delta] = [0, 1, 2].map((i) => view.integers(i)?.[0]);
    if (start === undefined || limit === undefined || !delta) return undefined;
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    return count > contentLimit ? undefined : Array.from({ length: count }, (_, i) => start + i * delta);
  },
  NonZero: (view) => {
    const x = view.integers(0);
    return x && rank(view) === 1 ? x.flatMap((value, i) => (value === 0 ? [] : [i])) : undefined;
  },
  Where: (view) => {
    const condition = view.content(0);
    const chosen = zip(view, (a, b) => (a === b ? a : undefined), 1);
    const [a, b] = [view.content(1), view.content(2)];
    if (!condition || !a || !b || !chosen || condition.length !== chosen.length) return undefined;
    return condition.map((take, i) =>
      take === undefined ? chosen[i] : take === 0 ? b[b.length === 1 ? 0 : i] : a[a.length === 1 ? 0 : i],
    );
  },
  Equal: (view) => zip(view, equal),
  Not: map((x) => (x === 0 ? 1 : 0)),
  Neg: map((x) => -x),
  Floor: map(Math.floor),
  Ceil: map(Math.ceil),
  Sqrt: map(Math.sqrt),
  Add: (view) =>
    zip(
      view,
      either(
        (a, b) => a + b,
        (a, b) => addDims([a, b]),
      ),
    ),
  Sub: (view) =>
    zip(
      view,
      either((a, b) => a - b, subtractDims),
    ),
  Mul: (view) =>
    zip(
      view,
      either(
        (a, b) => a * b,
        (a, b) => multiplyDims([a, b]),
      ),
    ),
  Div: (view) => zip(view, quotient(view)),
  Min: (view) => (view.node.inputs.length === 2 ? zip(view, numbers(Math.min)) : undefined),
  Max: (view) => (view.node.inputs.length === 2 ? zip(view, numbers(Math.max)) : undefined),
  Pow: (view) =>
    zip(
      view,
      numbers((a, b) => a ** b),
    ),
  ReduceProd: (view) => {
    const data = view.content(0);
    const axes = view.axes(1);
    return data && rank(view) === 1 && axes !== "unknown" ? [multiplyDims(data)] : undefined;
  },
};
