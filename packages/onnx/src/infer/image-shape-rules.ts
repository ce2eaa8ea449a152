import type { Dim, ValueType } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import {
  floatsAttribute,
  frontAxis,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from "../ops/attributes.ts";
import { transposedOutput, windowOf } from "../ops/window.ts";
import { divideDims, multiplyDims } from "./dims.ts";
import type { ShapeRule } from "./shape-rules.ts";
import type { NodeView } from "./view.ts";

type Shape = readonly Dim[];

/** One output with the element type of input 0. */
const like = (shape: (view: NodeView) => Shape | undefined): ShapeRule => {
  return (view) => [typed(view.dtype(0), shape(view))];
};

function typed(dtype: DataType | undefined, shape: Shape | undefined): ValueType | undefined {
  if (!dtype) return undefined;
  return shape ? { dtype, shape } : { dtype };
}

const spaceToDepth: ShapeRule = like((view) => {
  const x = view.shape(0);
  const block = intAttribute(view.node, "blocksize", 1);
  if (x?.length !== 4) return undefined;
  return [x[0], multiplyDims([x[1], block * block]), divideDims(x[2], block), divideDims(x[3], block)];
});

/** What the pooling took its maxima from, or the sizes given. */
const maxUnpool: ShapeRule = like((view) => {
  const x = view.shape(0);
  const kernel = intsAttribute(view.node, "kernel_shape");
  if (view.input(2)) return view.content(2) ?? x?.map(() => undefined);
  if (!x || !kernel || x.length !== kernel.length + 2) return undefined;
  const spatial = x.slice(2);
  return [x[0], x[1], ...transposedOutput(view.node, windowOf(view.node, kernel, spatial), spatial)];
});

/** `[N, C·taps, L]`, image sizes and kernel sizes give `[N, C, …image]`. */
const col2Im: ShapeRule = like((view) => {
  const x = view.shape(0);
  const image = view.content(1);
  const kernel = view.integers(2);
  if (x?.length !== 3 || !image) return undefined;
  return [
    x[0],
    kernel &&
      divideDims(
        x[1],
        kernel.reduce((a, b) => a * b, 1),
      ),
    ...image,
  ];
});

const roiAlign: ShapeRule = like((view) => {
  const size = (name: string): number => intAttribute(view.node, name, 1);
  return [view.shape(1)?.[0], view.shape(0)?.[1], size("output_height"), size("output_width")];
});

const maxRoiPool: ShapeRule = like((view) => {
  return [view.shape(1)?.[0], view.shape(0)?.[1], ...(intsAttribute(view.node, "pooled_shape") ?? [])];
});

/** Positions are those of the grid `[N, …positions, coordinates]`. */
const gridSample: ShapeRule = like((view) => {
  const x = view.shape(0);
  const grid = view.shape(1);
  return x && grid && [x[0], x[1], ...grid.slice(1, -1)];
});

/** Sizes are given as such or as factors, for all axes or for those listed; factors of `Upsample` once were an attribute. */
const resize: ShapeRule = like((view) => {
  const x = view.shape(0);
  if (!x) return undefined;
  const listed = intsAttribute(view.node, "axes")?.map((axis) => frontAxis(axis, x.length));
  const sizes = view.opset < 11 ? undefined : view.content(3);
  const scales = view.numbers(view.opset < 11 ? 1 : 2) ?? floatsAttribute(view.node, "scales");
  const stretches = stringAttribute(view.node, "keep_aspect_ratio_policy", "stretch") === "stretch";
  return x.map((dim, axis) => {
    const at = listed ? listed.indexOf(axis) : axis;
    if (at < 0) return dim;
    if (sizes) return stretches ? sizes[at] : undefined;
    return view.input(3) ? undefined : scaledDim(dim, scales?.[at]);
  });
});

/** ⌊size · scale⌋, multiplied in float32 as runtimes do; of a symbolic size only whole multiples can be written down. */
function scaledDim(dim: Dim, scale: number | undefined): Dim {
  if (scale === undefined) return undefined;
  if (typeof dim === "number") return Math.floor(Math.fround(dim * scale));
  return Number.isInteger(scale) && scale > 0 ? multiplyDims([dim, scale]) : undefined;
}

/** Shapes of the operators of vision models; part of `shapeRules`. */
export const imageShapeRules: Readonly<Record<string, ShapeRule>> = {
  SpaceToDepth: spaceToDepth,
  MaxUnpool: maxUnpool,
  Col2Im: col2Im,
  RoiAlign: roiAlign,
  MaxRoiPool: maxRoiPool,
  GridSample: gridSample,
  NonMaxSuppression: () => [typed("int64", [undefined, 3])],
  Resize: resize,
  Upsample: resize,
};
