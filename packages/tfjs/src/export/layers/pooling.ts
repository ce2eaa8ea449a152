import { int, ints } from "@dgate/onnx";
import type { LayerRule } from "../layer-context.ts";
import { axisIn } from "../traced.ts";
import { channelsFirstLayout, windowAttributes } from "./windows.ts";

/** Sliding pools. The average never counts the padding, as in tfjs. */
const pooling =
  (op: "MaxPool" | "AveragePool", rank: number): LayerRule =>
  (ctx) => {
    const layout = channelsFirstLayout(ctx);
    const window = {
      size: ctx.config.numbers("poolSize", rank),
      strides: ctx.config.numbers("strides", rank),
      dilations: Array.from({ length: rank }, () => 1),
    };
    return ctx.result(layout, ctx.node(op, [ctx.value(layout)], windowAttributes(ctx, window)));
  };

/** Pools over all positions: a reduction, in whatever layout the input is. */
const globalPooling =
  (op: "ReduceMean" | "ReduceMax", rank: number): LayerRule =>
  (ctx) => {
    const first = ctx.config.string("dataFormat", "channelsLast") === "channelsFirst" ? 2 : 1;
    const layout = ctx.layoutOf();
    const axes = Array.from({ length: rank }, (_, i) => axisIn(layout, first + i, rank + 2));
    const attributes = { axes: ints(axes.toSorted((a, b) => a - b)), keepdims: int(0) };
    const y = ctx.node(op, [ctx.value(layout)], attributes);
    return ctx.result("tfjs", y);
  };

export const poolingLayers: Readonly<Record<string, LayerRule>> = {
  MaxPooling1D: pooling("MaxPool", 1),
  MaxPooling2D: pooling("MaxPool", 2),
  AveragePooling1D: pooling("AveragePool", 1),
  AveragePooling2D: pooling("AveragePool", 2),
  GlobalMaxPooling1D: globalPooling("ReduceMax", 1),
  GlobalMaxPooling2D: globalPooling("ReduceMax", 2),
  GlobalAveragePooling1D: globalPooling("ReduceMean", 1),
  GlobalAveragePooling2D: globalPooling("ReduceMean", 2),
};
