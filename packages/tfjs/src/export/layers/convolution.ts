import { type Attribute, int, ints } from "@dgate/onnx";
import { activate } from "../activations.ts";
import { type LayerContext, type LayerRule, lastSize } from "../layer-context.ts";
import type { Traced } from "../traced.ts";
import { channelsFirstLayout, type Window, windowAttributes } from "./windows.ts";

/** Kernel `[…window, in, out]` → `[out, in, …window]`. */
const outputFirst = (rank: number): number[] => [
  rank + 1,
  rank,
  ...Array.from({ length: rank }, (_, i) => i),
];

/** The convolution's window from the layer's config. */
function windowOf(ctx: LayerContext, rank: number): Window {
  return {
    size: ctx.config.numbers("kernelSize", rank),
    strides: ctx.config.numbers("strides", rank),
    dilations: ctx.config.has("dilationRate") ? ctx.config.numbers("dilationRate", rank) : ones(rank),
  };
}

const ones = (length: number): number[] => Array.from({ length }, () => 1);

/** Channels of the layer's input, wherever its data format puts them. */
function inputChannels(ctx: LayerContext): number {
  const { shape } = ctx.input;
  const size = channelsFirstLayout(ctx) === "tfjs" ? shape[1] : shape.at(-1);
  return size ?? ctx.unsupported("the number of its input channels is open");
}

/** Conv1D and Conv2D. */
const convolution =
  (rank: number): LayerRule =>
  (ctx) => {
    const layout = channelsFirstLayout(ctx);
    const kernel = ctx.weight("kernel", { permutation: outputFirst(rank) });
    const bias = ctx.bias(ctx.config.number("filters"));
    const attributes = windowAttributes(ctx, windowOf(ctx, rank));
    const y = ctx.node("Conv", inputs(ctx.value(layout), kernel, bias), attributes);
    return ctx.result(layout, activate(ctx, y, layout));
  };

/** A depthwise kernel `[h, w, in, multiplier]` as the weight of a grouped Conv, `[in · multiplier, 1, h, w]`. */
function depthwiseKernel(ctx: LayerContext): ReturnType<LayerContext["weight"]> {
  const [h, w] = ctx.config.numbers("kernelSize", 2);
  const multiplier = ctx.config.number("depthMultiplier", 1);
  if (h === undefined || w === undefined) return ctx.unsupported("its kernel is not two-dimensional");
  return ctx.weight("depthwise_kernel", {
    permutation: [2, 3, 0, 1],
    reshape: { permuted: [-1, multiplier, h, w], onnx: [-1, 1, h, w] },
  });
}

function depthwise(ctx: LayerContext): Traced {
  const layout = channelsFirstLayout(ctx);
  const channels = inputChannels(ctx);
  // tfjs does not pass the dilation rate on to the depthwise convolution: neither do we.
  const window = { ...windowOf(ctx, 2), dilations: ones(2) };
  const attributes = { ...windowAttributes(ctx, window), group: int(channels) };
  const bias = ctx.bias(channels * ctx.config.number("depthMultiplier", 1));
  const y = ctx.node("Conv", inputs(ctx.value(layout), depthwiseKernel(ctx), bias), attributes);
  return ctx.result(layout, activate(ctx, y, layout));
}

function separable(ctx: LayerContext): Traced {
  if (channelsFirstLayout(ctx) === "tfjs") {
    return ctx.unsupported(
      "tfjs computes its bias on the wrong axis with dataFormat channelsFirst; use channelsLast",
    );
  }
  const channels = lastSize(ctx);
  const attributes = { ...windowAttributes(ctx, windowOf(ctx, 2)), group: int(channels) };
  const spread = ctx.node("Conv", [ctx.value("onnx"), depthwiseKernel(ctx)], attributes);
  const pointwise = ctx.weight("pointwise_kernel", { permutation: outputFirst(2) });
  const bias = ctx.bias(ctx.config.number("filters"));
  const y = ctx.node("Conv", inputs(spread, pointwise, bias), { kernel_shape: ints([1, 1]) });
  return ctx.result("onnx", activate(ctx, y, "onnx"));
}

/**
 * Conv2DTranspose. tfjs gives `n·s` outputs for `same` and `n·s + max(k − s, 0)` for `valid`; ONNX gives
 * `s·(n − 1) + k − pads + output_padding`, so `same` crops `max(k − s, 0)` and both add `max(s − k, 0)`.
 */
function transposed(ctx: LayerContext): Traced {
  const layout = channelsFirstLayout(ctx);
  const size = ctx.config.numbers("kernelSize", 2);
  const strides = ctx.config.numbers("strides", 2);
  const attributes: Record<string, Attribute> = { kernel_shape: ints(size), strides: ints(strides) };
  const extra = size.map((k, axis) => Math.max(0, strides[axis]! - k));
  if (extra.some((n) => n > 0)) attributes["output_padding"] = ints(extra);
  if (ctx.config.string("padding") === "same") {
    const crop = size.map((k, axis) => Math.max(0, k - strides[axis]!));
    attributes["pads"] = ints([...crop.map((n) => Math.floor(n / 2)), ...crop.map((n) => Math.ceil(n / 2))]);
  }
  const kernel = ctx.weight("kernel", { permutation: [3, 2, 0, 1] });
  const bias = ctx.bias(ctx.config.number("filters"));
  const y = ctx.node("ConvTranspose", inputs(ctx.value(layout), kernel, bias), attributes);
  return ctx.result(layout, activate(ctx, y, layout));
}

/** Input list of a convolution, whose bias may be absent. */
function inputs<V>(x: V, kernel: V, bias: V | undefined): V[] {
  return bias ? [x, kernel, bias] : [x, kernel];
}

export const convolutionLayers: Readonly<Record<string, LayerRule>> = {
  Conv1D: convolution(1),
  Conv2D: convolution(2),
  DepthwiseConv2D: depthwise,
  SeparableConv2D: separable,
  Conv2DTranspose: transposed,
};
