import { einsumLabels } from "../ops/einsum.ts";
import { mergeDomain } from "../ops/flat.ts";
import type { Dim, ValueType } from "../graph/graph.ts";
import { type DataType, dataTypes } from "../graph/tensor.ts";
import { maxRank } from "../io/element-types.ts";
import { frontAxis, intAttribute, intsAttribute } from "../ops/attributes.ts";
import { binaryOps, comparisonOps, globalPoolOps, reduceOps, unaryOps } from "../ops/families.ts";
import { slidOutput, transposedOutput, windowOf } from "../ops/window.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { addDims, broadcastShapes, divideDims, multiplyDims, subtractDims } from "./dims.ts";
import { quantizedShapes } from "./quantized-shapes.ts";
import { imageShapeRules } from "./image-shape-rules.ts";
import type { NodeView } from "./view.ts";

/** What an operator writes; `undefined` for an output about which nothing is known. */
export type ShapeRule = (view: NodeView) => readonly (ValueType | undefined)[];

type Shape = readonly Dim[];

function typed(dtype: DataType | undefined, shape: Shape | undefined): ValueType | undefined {
  if (!dtype) return undefined;
  return shape ? { dtype, shape } : { dtype };
}

/** One output with the element type of input 0. */
const like = (shape: (view: NodeView) => Shape | undefined): ShapeRule => {
  return (view) => [typed(view.dtype(0), shape(view))];
};

const same: ShapeRule = like((view) => view.shape(0));
const broadcast: ShapeRule = like((view) => broadcastShapes(view.node.inputs.map((_, i) => view.shape(i))));
const compare: ShapeRule = (view) => [typed("bool", broadcastShapes([view.shape(0), view.shape(1)]))];

const matmul: ShapeRule = like((view) => {
  const a = view.shape(0);
  const b = view.shape(1);
  if (!a || !b || a.length === 0 || b.length === 0) return undefined;
  const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)]) ?? [];
  return [...batch, ...(a.length > 1 ? [a.at(-2)] : []), ...(b.length > 1 ? [b.at(-1)] : [])];
});

const gemm: ShapeRule = like((view) => {
  const a = view.shape(0);
  const b = view.shape(1);
  if (a?.length !== 2 || b?.length !== 2) return undefined;
  return [a[intAttribute(view.node, "transA", 0) ? 1 : 0], b[intAttribute(view.node, "transB", 0) ? 0 : 1]];
});

const conv: ShapeRule = like((view) => {
  const x = view.shape(0);
  const w = view.shape(1);
  if (!x || !w || x.length < 3 || x.length !== w.length) return undefined;
  const kernel = intsAttribute(view.node, "kernel_shape") ?? numeric(w.slice(2));
  if (!kernel) return undefined;
  const spatial = x.slice(2);
  return [x[0], w[0], ...slidOutput(view.node, windowOf(view.node, kernel, spatial), spatial)];
});

const convTranspose: ShapeRule = like((view) => {
  const x = view.shape(0);
  const w = view.shape(1);
  if (!x || !w || x.length < 3 || x.length !== w.length) return undefined;
  const kernel = intsAttribute(view.node, "kernel_shape") ?? numeric(w.slice(2));
  if (!kernel) return undefined;
  const spatial = x.slice(2);
  const channels = multiplyDims([w[1], intAttribute(view.node, "group", 1)]);
  return [x[0], channels, ...transposedOutput(view.node, windowOf(view.node, kernel, spatial), spatial)];
});

const pool: ShapeRule = (view) => {
  const x = view.shape(0);
  const kernel = intsAttribute(view.node, "kernel_shape");
  if (!x || !kernel || x.length !== kernel.length + 2) return [typed(view.dtype(0), undefined)];
  const spatial = x.slice(2);
  const shape = [x[0], x[1], ...slidOutput(view.node, windowOf(view.node, kernel, spatial), spatial)];
  return [typed(view.dtype(0), shape), typed("int64", shape)];
};

const globalPool: ShapeRule = like((view) => view.shape(0)?.map((dim, axis) => (axis < 2 ? dim : 1)));

const batchNormalization: ShapeRule = (view) => [
  typed(view.dtype(0), view.shape(0)),
  ...view.node.outputs.slice(1).map(() => typed(view.dtype(1), view.shape(1))),
];

const layerNormalization: ShapeRule = (view) => {
  const x = view.shape(0);
  const first = x && view.axis("axis", -1, x.length);
  const statistics = x?.map((dim, axis) => (axis < first! ? dim : 1));
  return [typed(view.dtype(0), x), typed("float32", statistics), typed("float32", statistics)];
};

const flatten: ShapeRule = like((view) => {
  const x = view.shape(0);
  if (!x) return undefined;
  const axis = view.axis("axis", 1, x.length);
  return [multiplyDims(x.slice(0, axis)), multiplyDims(x.slice(axis))];
});

const reshape: ShapeRule = like((view) => {
  const x = view.shape(0);
  const target = view.content(1) ?? intsAttribute(view.node, "shape");
  if (!target) {
    const rank = view.shape(1)?.[0];
    const known = typeof rank === "number" && rank <= maxRank;
    return known ? Array.from({ length: rank }, () => undefined) : undefined;
  }
  const copies = intAttribute(view.node, "allowzero", 0) === 0;
  const shape = target.map((dim, axis) => (dim === 0 && copies ? x?.[axis] : dim));
  const open = shape.indexOf(-1);
  if (open >= 0) shape[open] = divideDims(x && multiplyDims(x), multiplyDims(shape.toSpliced(open, 1)));
  return shape;
});

const transpose: ShapeRule = like((view) => {
  const x = view.shape(0);
  const permutation = intsAttribute(view.node, "perm");
  return x && (permutation ? permutation.map((axis) => x[axis]) : x.toReversed());
});

const squeeze: ShapeRule = like((view) => {
  const x = view.shape(0);
  const axes = view.axes(1);
  if (!x || axes === "unknown") return undefined;
  if (!axes) return x.includes(undefined) ? undefined : x.filter((dim) => dim !== 1);
  const gone = new Set(axes.map((axis) => frontAxis(axis, x.length)));
  return x.filter((_, axis) => !gone.has(axis));
});

const unsqueeze: ShapeRule = like((view) => {
  const x = view.shape(0);
  const axes = view.axes(1);
  if (!x || !axes || axes === "unknown") return undefined;
  const rank = x.length + axes.length;
  const fresh = new Set(axes.map((axis) => frontAxis(axis, rank)));
  const rest = x.values();
  return Array.from({ length: rank }, (_, axis) => (fresh.has(axis) ? 1 : rest.next().value));
});

const reduce: ShapeRule = like((view) => {
  const x = view.shape(0);
  const axes = view.axes(1);
  if (!x || axes === "unknown") return undefined;
  const keep = intAttribute(view.node, "keepdims", 1) !== 0;
  if ((!axes || axes.length === 0) && intAttribute(view.node, "noop_with_empty_axes", 0) !== 0) return x;
  const all = !axes || axes.length === 0;
  const gone = new Set(axes?.map((axis) => frontAxis(axis, x.length)));
  const reduced = (axis: number): boolean => all || gone.has(axis);
  if (keep) return x.map((dim, axis) => (reduced(axis) ? 1 : dim));
  return x.filter((_, axis) => !reduced(axis));
});

const argReduce: ShapeRule = (view) => {
  const x = view.shape(0);
  if (!x) return [typed("int64", undefined)];
  const axis = view.axis("axis", 0, x.length);
  const keep = intAttribute(view.node, "keepdims", 1) !== 0;
  return [typed("int64", keep ? x.with(axis, 1) : x.toSpliced(axis, 1))];
};

const concat: ShapeRule = like((view) => {
  const shapes = view.node.inputs.map((_, i) => view.shape(i));
  const first = shapes[0];
  if (!first || shapes.some((shape) => shape?.length !== first.length)) return undefined;
  const at = view.axis("axis", 0, first.length);
  return first.map((_, axis) =>
    axis === at
      ? addDims(shapes.map((shape) => shape![axis]))
      : shapes.map((shape) => shape![axis]).find((dim) => dim !== undefined),
  );
});

const split: ShapeRule = (view) => {
  const x = view.shape(0);
  const axis = x && view.axis("axis", 0, x.length);
  const sizes = intsAttribute(view.node, "split") ?? view.integers(1);
  const count = view.node.outputs.length;
  return view.node.outputs.map((_, i) => {
    if (!x || axis === undefined) return typed(view.dtype(0), undefined);
    const given = view.node.inputs[1] && !sizes ? undefined : sizes;
    const size = given ? given[i] : view.node.inputs[1] ? undefined : evenPart(x[axis], count, i);
    return typed(view.dtype(0), x.with(axis, size));
  });
};

function evenPart(dim: Dim, count: number, index: number): Dim {
  if (typeof dim !== "number") return divideDims(dim, count);
  const size = Math.ceil(dim / count);
  return index === count - 1 ? dim - size * (count - 1) : size;
}

/** What Slice takes of one axis; bounds that are computed at run time are names or unknown. */
export interface SliceRange {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
  readonly step: Dim;
}

/** The ranges that Slice takes, axis by axis; `undefined` where even the axes are computed at run time. */
export function sliceRanges(view: NodeView): readonly SliceRange[] | undefined {
  const rank = view.shape(0)?.length;
  const old = view.opset < 10;
  const axes = old ? intsAttribute(view.node, "axes") : view.integers(3);
  const starts = old ? intsAttribute(view.node, "starts") : view.content(1);
  const ends = old ? intsAttribute(view.node, "ends") : view.content(2);
  const steps = old ? undefined : view.content(4);
  const count = old ? starts?.length : (axes?.length ?? numberOf(view.shape(1)?.[0]));
  if (rank === undefined || count === undefined || count > rank || (!old && view.input(3) && !axes))
    return undefined;
  return Array.from({ length: count }, (_, i) => ({
    axis: frontAxis(axes?.[i] ?? i, rank),
    start: starts?.[i],
    end: ends?.[i],
    step: view.input(4) ? steps?.[i] : 1,
  }));
}

const numberOf = (dim: Dim): number | undefined => (typeof dim === "number" ? dim : undefined);

/** `[from, to)` of a forward slice over an axis of known size. */
export function sliceBounds(size: number, start: number, end: number): readonly [number, number] {
  const clamp = (at: number): number => Math.max(0, Math.min(size, at < 0 ? at + size : at));
  return [clamp(start), Math.max(clamp(start), clamp(end))];
}

/** Size of a slice; of symbolic bounds only those that stay within the axis by their form: `[:n]`, `[n:]` of `n + m`. */
function slicedDim(size: Dim, start: Dim, end: Dim, step: Dim): Dim {
  if (typeof step !== "number" || step === 0) return undefined;
  if (step < 0) return backwardsSize(size, start, end, step);
  if (typeof size === "number" && typeof start === "number" && typeof end === "number") {
    const [from, to] = sliceBounds(size, start, end);
    return Math.ceil((to - from) / step);
  }
  if (step !== 1) return undefined;
  const toEnd = end === Number.MAX_SAFE_INTEGER || (end !== undefined && end === size);
  if (toEnd)
    return start === 0
      ? size
      : typeof start === "number" && start < 0
        ? undefined
        : subtractDims(size, start);
  return start === 0 && typeof end === "string" ? end : undefined;
}

/** Size of a slice that counts down: the end lies below the start, and −1 past the first index cannot be written. */
function backwardsSize(size: Dim, start: Dim, end: Dim, step: number): Dim {
  if (typeof size !== "number" || typeof start !== "number" || typeof end !== "number") return undefined;
  const clamp = (at: number, low: number): number =>
    Math.max(low, Math.min(size - 1, at < 0 ? at + size : at));
  return Math.max(0, Math.ceil((clamp(end, -1) - clamp(start, 0)) / step));
}

const slice: ShapeRule = like((view) => {
  const x = view.shape(0);
  const ranges = sliceRanges(view);
  if (!x) return undefined;
  if (!ranges) return x.map(() => undefined);
  const shape = [...x];
  for (const { axis, start, end, step } of ranges) {
    shape[axis] = slicedDim(shape[axis], start, end, step);
  }
  return shape;
});

/** Pads of `Pad`, per axis of its input; `undefined` where computed at run time. */
export function padAmounts(
  view: NodeView,
): readonly (readonly [before: number, after: number])[] | undefined {
  const rank = view.shape(0)?.length;
  const pads = intsAttribute(view.node, "pads") ?? view.integers(1);
  const axes = view.integers(3);
  if (rank === undefined || !pads || (view.input(3) && !axes)) return undefined;
  const amounts = Array.from({ length: rank }, (): readonly [number, number] => [0, 0]);
  const listed = axes ?? amounts.map((_, axis) => axis);
  listed.forEach((axis, i) => {
    amounts[frontAxis(axis, rank)] = [pads[i] ?? 0, pads[i + listed.length] ?? 0];
  });
  return amounts;
}

const pad: ShapeRule = like((view) => {
  const amounts = padAmounts(view);
  return view.shape(0)?.map((dim, axis) => amounts && addDims([dim, amounts[axis]![0] + amounts[axis]![1]]));
});

const gather: ShapeRule = like((view) => {
  const x = view.shape(0);
  const indices = view.shape(1);
  if (!x || !indices) return undefined;
  const axis = view.axis("axis", 0, x.length);
  return [...x.slice(0, axis), ...indices, ...x.slice(axis + 1)];
});

const gatherND: ShapeRule = like((view) => {
  const x = view.shape(0);
  const indices = view.shape(1);
  const depth = indices?.at(-1);
  if (!x || !indices || typeof depth !== "number") return undefined;
  return [...indices.slice(0, -1), ...x.slice(intAttribute(view.node, "batch_dims", 0) + depth)];
});

const expand: ShapeRule = like((view) => {
  const target = view.content(1);
  return target && broadcastShapes([view.shape(0), target]);
});

const tile: ShapeRule = like((view) => {
  const repeats = view.integers(1);
  return view.shape(0)?.map((dim, axis) => (repeats ? multiplyDims([dim, repeats[axis]]) : undefined));
});

const shapeOf: ShapeRule = (view) => {
  const rank = view.shape(0)?.length;
  if (rank === undefined) return [typed("int64", undefined)];
  const [from, to] = sliceBounds(
    rank,
    intAttribute(view.node, "start", 0),
    intAttribute(view.node, "end", Number.MAX_SAFE_INTEGER),
  );
  return [typed("int64", [to - from])];
};

const constant: ShapeRule = (view) => {
  const { attributes } = view.node;
  const data = attributes.get("value");
  if (data?.kind === "tensor") return [typed(data.value.dtype, data.value.shape)];
  if (attributes.has("value_float")) return [typed("float32", [])];
  if (attributes.has("value_int")) return [typed("int64", [])];
  const list = attributes.get("value_floats") ?? attributes.get("value_ints");
  if (list?.kind === "floats") return [typed("float32", [list.value.length])];
  return [list?.kind === "ints" ? typed("int64", [list.value.length]) : undefined];
};

const cast: ShapeRule = (view) => {
  const number = intAttribute(view.node, "to", 0);
  const name = Object.entries(dataTypes).find(([, code]) => code === number)?.[0];
  return [typed(name as DataType | undefined, view.shape(0))]; // a key of dataTypes
};

const where: ShapeRule = (view) => [
  typed(view.dtype(1), broadcastShapes([view.shape(0), view.shape(1), view.shape(2)])),
];

const constantOfShape: ShapeRule = (view) => {
  const value = view.node.attributes.get("value");
  return [typed(value?.kind === "tensor" ? value.value.dtype : "float32", view.content(0))];
};

/** What both branches of an If say of its outputs. */
const merge: ShapeRule = (view) => {
  const count = view.node.outputs.length;
  return view.node.outputs.map((_, i) => {
    const [a, b] = [view.type(view.input(1 + i)), view.type(view.input(1 + i + count))];
    if (!a || !b || a.dtype !== b.dtype) return undefined;
    const alike = a.shape?.length === b.shape?.length;
    return typed(
      a.dtype,
      alike ? a.shape?.map((dim, axis) => (dim === b.shape?.[axis] ? dim : undefined)) : undefined,
    );
  });
};

/** Numbers from start to limit; with start 0 and step 1 as many as the limit says. */
const range: ShapeRule = (view) => {
  const [[start], [limit], [delta]] = [0, 1, 2].map((i) => view.content(i) ?? [undefined]) as [
    Dim[],
    Dim[],
    Dim[],
  ];
  if (typeof delta !== "number") return [typed(view.dtype(0), [undefined])];
  if (typeof limit === "number" && typeof start === "number")
    return [typed(view.dtype(0), [Math.max(0, Math.ceil((limit - start) / delta))])];
  return [typed(view.dtype(0), [delta === 1 ? subtractDims(limit, start) : undefined])];
};

/** Exporters write a range as the places of a tensor of ones. */
const nonZero: ShapeRule = (view) => {
  const source = view.input(0);
  const producer = source && view.graph.producer(source);
  const value = producer?.op === "ConstantOfShape" ? producer.attributes.get("value") : undefined;
  const ones = value?.kind === "tensor" && readNumbers(value.value)[0] !== 0;
  const count = ones ? multiplyDims(view.shape(0) ?? [undefined]) : undefined;
  return [typed("int64", [view.shape(0)?.length, count])];
};

const dropout: ShapeRule = (view) => [
  typed(view.dtype(0), view.shape(0)),
  typed(view.opset >= 10 ? "bool" : view.dtype(0), view.shape(0)),
];

const depthToSpace: ShapeRule = like((view) => {
  const x = view.shape(0);
  const block = intAttribute(view.node, "blocksize", 1);
  if (x?.length !== 4) return undefined;
  return [x[0], divideDims(x[1], block * block), multiplyDims([x[2], block]), multiplyDims([x[3], block])];
});

const einsum: ShapeRule = like((view) => {
  const labels = einsumLabels(view);
  return labels?.output.map((label) =>
    labels.inputs
      .flatMap((own, i) => own.flatMap((each, axis) => (each === label ? [view.shape(i)?.[axis]] : [])))
      .reduce<Dim>((known, dim) => (known === undefined || known === 1 ? dim : known), undefined),
  );
});

function numeric(dims: Shape): readonly number[] | undefined {
  return dims.every((dim) => typeof dim === "number") ? dims : undefined;
}

const each = (ops: readonly string[], rule: ShapeRule): Record<string, ShapeRule> => {
  return Object.fromEntries(ops.map((op) => [op, rule]));
};

/**
 * Shape rules of the standard operators. An operator without a row keeps the type that the file declares for its
 * outputs, or none.
 */
export const shapeRules: Readonly<Record<string, ShapeRule>> = {
  ...each(unaryOps, same),
  ...each(binaryOps, broadcast),
  ...each(comparisonOps, compare),
  ...each(reduceOps, reduce),
  ...each(globalPoolOps, globalPool),
  ...each(["Softmax", "LogSoftmax", "Hardmax", "PRelu", "CumSum", "Trilu", "LpNormalization", "LRN"], same),
  ...each(["InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"], same),
  ...each(["RMSNormalization"], same),
  ...each(["ArgMax", "ArgMin"], argReduce),
  ...each(["MaxPool", "AveragePool", "LpPool"], pool),
  Gemm: gemm,
  MatMul: matmul,
  Conv: conv,
  ConvTranspose: convTranspose,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  Flatten: flatten,
  Reshape: reshape,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  GatherND: gatherND,
  ...imageShapeRules,
  Expand: expand,
  Tile: tile,
  Shape: shapeOf,
  Size: () => [typed("int64", [])],
  Constant: constant,
  ConstantOfShape: constantOfShape,
  Cast: cast,
  CastLike: (view) => [typed(view.dtype(1), view.shape(0))],
  Where: where,
  Range: range,
  NonZero: nonZero,
  [`${mergeDomain}.Merge`]: merge,
  IsNaN: (view) => [typed("bool", view.shape(0))],
  IsInf: (view) => [typed("bool", view.shape(0))],
  ScatterND: same,
  ScatterElements: same,
  GatherElements: like((view) => view.shape(1)),
  Dropout: dropout,
  DepthToSpace: depthToSpace,
  Einsum: einsum,
  ...quantizedShapes({
    ...each(["Sigmoid", "LeakyRelu", "Softmax"], same),
    ...each(["Add", "Mul"], broadcast),
    MatMul: matmul,
    Gemm: gemm,
    Conv: conv,
    Concat: concat,
    AveragePool: pool,
    GlobalAveragePool: globalPool,
  }),
};
