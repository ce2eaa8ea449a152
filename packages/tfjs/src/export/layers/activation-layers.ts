import { float, int } from "@dgate/onnx";
import { activate } from "../activations.ts";
import type { LayerContext, LayerRule } from "../layer-context.ts";
import { axisIn, channelsForward, type Traced } from "../traced.ts";

/** Applies `emit` to the input in the layout it is in. */
const inPlace =
  (
    emit: (ctx: LayerContext, x: ReturnType<LayerContext["value"]>) => ReturnType<LayerContext["value"]>,
  ): LayerRule =>
  (ctx) => {
    const layout = ctx.layoutOf();
    return ctx.result(layout, emit(ctx, ctx.value(layout)));
  };

function softmax(ctx: LayerContext): Traced {
  const axes = ctx.config.numbers("axis");
  const [axis] = axes;
  if (axis === undefined || axes.length > 1) return ctx.unsupported("it takes softmax over several axes");
  const layout = ctx.layoutOf();
  const place = axisIn(layout, axis < 0 ? axis + ctx.rank : axis, ctx.rank);
  return ctx.result(layout, ctx.node("Softmax", [ctx.value(layout)], { axis: int(place) }));
}

/** `α` has the shape of a sample, with 1 on shared axes. A layer that is called twice has one α, hence one layout. */
function prelu(ctx: LayerContext): Traced {
  const layout = ctx.layer.inboundNodes.length > 1 ? "tfjs" : ctx.layoutOf();
  const rank = ctx.rank;
  const order =
    layout === "onnx" && rank > 2 ? channelsForward(rank) : Array.from({ length: rank }, (_, i) => i);
  const permutation = order.slice(1).map((axis) => axis - 1);
  return ctx.result(layout, ctx.node("PRelu", [ctx.value(layout), ctx.weight("alpha", { permutation })]));
}

export const activationLayers: Readonly<Record<string, LayerRule>> = {
  Activation: (ctx) => {
    const layout = ctx.layoutOf();
    return ctx.result(layout, activate(ctx, ctx.value(layout), layout));
  },
  ReLU: inPlace((ctx, x) =>
    ctx.config.has("maxValue")
      ? ctx.node("Clip", [x, ctx.scalar(0), ctx.scalar(ctx.config.number("maxValue"))])
      : ctx.node("Relu", [x]),
  ),
  LeakyReLU: inPlace((ctx, x) => ctx.node("LeakyRelu", [x], { alpha: float(ctx.config.number("alpha")) })),
  ELU: inPlace((ctx, x) => ctx.node("Elu", [x], { alpha: float(ctx.config.number("alpha")) })),
  ThresholdedReLU: inPlace((ctx, x) =>
    ctx.node("ThresholdedRelu", [x], { alpha: float(ctx.config.number("theta")) }),
  ),
  PReLU: prelu,
  Softmax: softmax,
};

/** Layers that do nothing outside of training: no node, the value passes through. */
const identity: LayerRule = (ctx) => ctx.input;

export const identityLayers: Readonly<Record<string, LayerRule>> = {
  Dropout: identity,
  SpatialDropout1D: identity,
  GaussianDropout: identity,
  GaussianNoise: identity,
  AlphaDropout: identity,
};
