import { int, type Value } from "@dgate/onnx";
import type { LayerContext, LayerRule } from "../layer-context.ts";
import { axisIn, type Layout, type Traced } from "../traced.ts";

/** The inputs brought to one layout, and to one rank: tfjs adds axes of size 1 after the batch. */
function aligned(ctx: LayerContext): { layout: Layout; values: Value[] } {
  const ranks = ctx.inputs.map(({ shape }) => shape.length);
  const rank = Math.max(...ranks);
  if (ranks.every((n) => n === rank)) {
    const layout = ctx.inputs.some(({ values }) => values.onnx) ? "onnx" : "tfjs";
    return { layout, values: ctx.inputs.map((x) => ctx.value(layout, x)) };
  }
  const values = ctx.inputs.map((x) => {
    const missing = rank - x.shape.length;
    if (missing === 0) return ctx.value("tfjs", x);
    const axes = Array.from({ length: missing }, (_, i) => i + 1);
    const list = ctx.emitter.constant("int64", axes, [missing]);
    return ctx.emitter.node(`${ctx.layer.name}/unsqueeze`, "Unsqueeze", [ctx.value("tfjs", x), list]);
  });
  return { layout: "tfjs", values };
}

/** Folds a binary operator over the inputs, left to right as tfjs does. */
function fold(ctx: LayerContext, op: string, values: readonly Value[]): Value {
  return values.reduce((sum, value) => ctx.node(op, [sum, value]));
}

const elementwise =
  (op: string): LayerRule =>
  (ctx) => {
    const { layout, values } = aligned(ctx);
    return ctx.result(layout, fold(ctx, op, values));
  };

function average(ctx: LayerContext): Traced {
  const { layout, values } = aligned(ctx);
  return ctx.result(layout, ctx.node("Mul", [fold(ctx, "Add", values), ctx.scalar(1 / values.length)]));
}

function concatenate(ctx: LayerContext): Traced {
  const rank = ctx.outputShape.length;
  const axis = ctx.config.number("axis", -1);
  const { layout, values } = aligned(ctx);
  const place = axisIn(layout, axis < 0 ? axis + rank : axis, rank);
  return ctx.result(layout, ctx.node("Concat", values, { axis: int(place) }));
}

export const mergeLayers: Readonly<Record<string, LayerRule>> = {
  Add: elementwise("Add"),
  Multiply: elementwise("Mul"),
  Maximum: elementwise("Max"),
  Minimum: elementwise("Min"),
  Average: average,
  Concatenate: concatenate,
};
