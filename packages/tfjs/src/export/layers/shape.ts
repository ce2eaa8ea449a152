import { int, ints, string, type Value } from "@dgate/onnx";
import type { LayerContext, LayerRule } from "../layer-context.ts";
import { axisIn, type Traced } from "../traced.ts";
import { channelsFirstLayout } from "./windows.ts";

function flatten(ctx: LayerContext): Traced {
  const x = ctx.value("tfjs");
  const last = ctx.rank - 1;
  const moved = ctx.config.string("dataFormat", "channelsLast") === "channelsFirst";
  const perm = [0, ...Array.from({ length: last - 1 }, (_, i) => i + 2), 1];
  const source = moved ? ctx.node("Transpose", [x], { perm: ints(perm) }) : x;
  return keepType(ctx, ctx.node("Flatten", [source], { axis: int(1) }));
}

/** Batch stays (0 copies it); one open size may be left to ONNX (−1). */
function reshape(ctx: LayerContext): Traced {
  const target = ctx.outputShape.slice(1).map((size) => size ?? -1);
  if (target.filter((size) => size === -1).length > 1)
    return ctx.unsupported("its target shape has several open sizes");
  const shape = ctx.emitter.constant("int64", [0, ...target], [target.length + 1]);
  return keepType(ctx, ctx.node("Reshape", [ctx.value("tfjs"), shape]));
}

function permuteAxes(ctx: LayerContext): Traced {
  const perm = ints([0, ...ctx.config.numbers("dims")]);
  return keepType(ctx, ctx.node("Transpose", [ctx.value("tfjs")], { perm }));
}

/** Result of a layer that moves elements without computing on them. */
function keepType(ctx: LayerContext, value: Value): Traced {
  return ctx.result("tfjs", value, { dtype: ctx.input.dtype });
}

function zeroPadding(ctx: LayerContext): Traced {
  const [rows, columns] = ctx.config.pairs("padding");
  if (!rows || !columns) return ctx.unsupported("its padding is not two pairs");
  const layout = ctx.layoutOf();
  const first = ctx.config.string("dataFormat", "channelsLast") === "channelsFirst" ? 2 : 1;
  const pads = Array.from({ length: 8 }, () => 0);
  [rows, columns].forEach(([before, after], i) => {
    const axis = axisIn(layout, first + i, 4);
    pads[axis] = before;
    pads[axis + 4] = after;
  });
  const y = ctx.node("Pad", [ctx.value(layout), ctx.emitter.constant("int64", pads, [8])], {
    mode: string("constant"),
  });
  return ctx.result(layout, y);
}

/** Cuts rows and columns off the borders. */
function cropping(ctx: LayerContext): Traced {
  const layout = ctx.layoutOf();
  const first = ctx.config.string("dataFormat", "channelsLast") === "channelsFirst" ? 2 : 1;
  const axes = [first, first + 1].map((axis) => axisIn(layout, axis, 4));
  const pairs = ctx.config.pairs("cropping");
  const list = (values: readonly number[]): Value => ctx.emitter.constant("int64", values, [values.length]);
  const starts = list(pairs.map(([before]) => before));
  // An end of −n leaves n off; 2³¹ − 1 means "to the end" to every runtime.
  const ends = list(pairs.map(([, after]) => (after === 0 ? 2 ** 31 - 1 : -after)));
  return ctx.result(layout, ctx.node("Slice", [ctx.value(layout), starts, ends, list(axes)]));
}

/** `[batch, features]` → `[batch, n, features]`. */
function repeatVector(ctx: LayerContext): Traced {
  const column = ctx.node("Unsqueeze", [ctx.value("tfjs"), ctx.emitter.constant("int64", [1], [1])]);
  const shape = ctx.emitter.constant("int64", [1, ctx.config.number("n"), 1], [3]);
  return ctx.result("tfjs", ctx.node("Expand", [column, shape]));
}

/** Whole-number enlargement. tfjs takes sample `⌊i / factor⌋`, or blends from there (no half-pixel centres). */
function upSampling(ctx: LayerContext): Traced {
  const layout = channelsFirstLayout(ctx);
  const factors = ctx.config.numbers("size", 2);
  const nearest = ctx.config.string("interpolation", "nearest") === "nearest";
  const scales = ctx.emitter.constant("float32", [1, 1, ...factors], [4]);
  const y = ctx.node("Resize", [ctx.value(layout), undefined, scales], {
    mode: string(nearest ? "nearest" : "linear"),
    coordinate_transformation_mode: string("asymmetric"),
    ...(nearest ? { nearest_mode: string("floor") } : {}),
  });
  return ctx.result(layout, y);
}

export const shapeLayers: Readonly<Record<string, LayerRule>> = {
  Flatten: flatten,
  Reshape: reshape,
  Permute: permuteAxes,
  ZeroPadding2D: zeroPadding,
  Cropping2D: cropping,
  RepeatVector: repeatVector,
  UpSampling2D: upSampling,
};
