import { type Attribute, ints, string } from "@dgate/onnx";
import type { LayerContext } from "../layer-context.ts";
import type { Layout } from "../traced.ts";

/** A window that slides over the spatial axes: a convolution's kernel or a pool. */
export interface Window {
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
}

/** The layout in which a layer's spatial axes follow its channels: what ONNX wants. */
export function channelsFirstLayout(ctx: LayerContext): Layout {
  return ctx.config.string("dataFormat", "channelsLast") === "channelsFirst" ? "tfjs" : "onnx";
}

/** Sizes of the spatial axes of the layer's input. */
function spatialSizes(ctx: LayerContext): readonly (number | null)[] {
  const { shape } = ctx.input;
  return channelsFirstLayout(ctx) === "tfjs" ? shape.slice(2) : shape.slice(1, -1);
}

/**
 * Padding of one axis as TensorFlow's `same` computes it: `out = ⌈n / stride⌉`,
 * `total = max(0, (out − 1)·stride + (k − 1)·dilation + 1 − n)`, the smaller half first.
 */
function samePadding(n: number, k: number, stride: number, dilation: number): [number, number] {
  const total = Math.max(0, (Math.ceil(n / stride) - 1) * stride + (k - 1) * dilation + 1 - n);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** Attributes that place a window: kernel_shape, strides, dilations, and pads, or auto_pad where a size is open. */
export function windowAttributes(ctx: LayerContext, window: Window): Record<string, Attribute> {
  const { size, strides, dilations } = window;
  const attributes: Record<string, Attribute> = { kernel_shape: ints(size), strides: ints(strides) };
  if (dilations.some((d) => d !== 1)) attributes["dilations"] = ints(dilations);
  const padding = ctx.config.string("padding", "valid");
  if (padding === "valid") return attributes;
  if (padding !== "same")
    return ctx.unsupported(`padding "${padding}" is not supported; use "valid" or "same"`);
  const sizes = spatialSizes(ctx);
  if (sizes.includes(null)) return { ...attributes, auto_pad: string("SAME_UPPER") };
  const pads = sizes.map((n, axis) => samePadding(n!, size[axis]!, strides[axis]!, dilations[axis]!));
  const flat = [...pads.map(([before]) => before), ...pads.map(([, after]) => after)];
  if (flat.some((pad) => pad > 0)) attributes["pads"] = ints(flat);
  return attributes;
}
