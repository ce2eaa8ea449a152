import type { Dim } from "../graph/graph.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import { addDims, divideDims, multiplyDims } from "./dims.ts";
import { sliceBounds, sliceRanges } from "./shape-rules.ts";
import { contentLimit, type NodeView } from "./view.ts";

/** Elements of the first output in row-major order, `undefined` where they cannot be known before the run. */
export type ContentRule = (view: NodeView) => readonly Dim[] | undefined;

/** Element-wise over one-dimensional values, a single element stretching over the other's length. */
function zip(view: NodeView, combine: (a: Dim, b: Dim) => Dim): readonly Dim[] | undefined {
  const a = view.content(0);
  const b = view.content(1);
  if (!a || !b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) =>
    combine(a.length === 1 ? a[0] : a[i], b.length === 1 ? b[0] : b[i]),
  );
}

const pass: ContentRule = (view) => view.content(0);

const subtract = (a: Dim, b: Dim): Dim => {
  if (typeof b !== "number") return a === b && a !== undefined ? 0 : undefined;
  return typeof a === "number" ? a - b : b === 0 ? a : undefined;
};

/**
 * Evaluates the integer arithmetic that models do on shapes (`Shape → Gather → Concat → Reshape`), symbols included.
 * Values of rank 0 and 1 only.
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
  Cast: pass,
  Squeeze: pass,
  Unsqueeze: (view) => ((view.shape(0)?.length ?? 1) === 0 ? view.content(0) : undefined),
  Reshape: (view) => ((view.outputShape()?.length ?? 2) <= 1 ? view.content(0) : undefined),
  Concat: (view) => {
    const joined: Dim[] = [];
    for (const i of view.node.inputs.keys()) {
      const part = view.content(i);
      if (!part || joined.length + part.length > contentLimit) return undefined;
      joined.push(...part);
    }
    return joined;
  },
  Gather: (view) => {
    const data = view.content(0);
    const indices = view.integers(1);
    if (!data || !indices || (view.shape(0)?.length ?? 0) !== 1) return undefined;
    return indices.map((index) => data[frontAxis(index, data.length)]);
  },
  Slice: (view) => {
    const data = view.content(0);
    const ranges = sliceRanges(view);
    const range = ranges?.[0];
    if (!data || ranges?.length !== 1 || range?.step !== 1) return undefined;
    return data.slice(...sliceBounds(data.length, range.start, range.end));
  },
  Add: (view) => zip(view, (a, b) => addDims([a, b])),
  Sub: (view) => zip(view, subtract),
  Mul: (view) => zip(view, (a, b) => multiplyDims([a, b])),
  Div: (view) =>
    zip(view, (a, b) =>
      typeof a === "number" && typeof b === "number" && b !== 0 ? Math.trunc(a / b) : divideDims(a, b),
    ),
  ReduceProd: (view) => {
    const data = view.content(0);
    return data && [multiplyDims(data)];
  },
};
