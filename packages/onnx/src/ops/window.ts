import type { Dim, Node } from "../graph/graph.ts";
import { addDims, floorDivideDims } from "../infer/dims.ts";
import { intAttribute, intsAttribute, stringAttribute } from "./attributes.ts";

/** How a window slides along the spatial axes of Conv, ConvTranspose and the poolings. All lists are per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Elements added before and after; unknown (`undefined`) where `auto_pad` depends on a symbolic input size. */
  readonly pads: readonly (readonly [before: number, after: number] | undefined)[];
}

/** The window of a node, given its kernel size and the spatial input size (for `auto_pad`). */
export function windowOf(node: Node, kernel: readonly number[], spatial: readonly Dim[]): Window {
  const ones = kernel.map(() => 1);
  const strides = intsAttribute(node, "strides") ?? ones;
  const dilations = intsAttribute(node, "dilations") ?? ones;
  const autoPad = stringAttribute(node, "auto_pad", "NOTSET");
  const explicit = intsAttribute(node, "pads") ?? kernel.flatMap(() => [0, 0]);
  const pads = kernel.map((size, i): readonly [number, number] | undefined => {
    if (autoPad === "VALID") return [0, 0];
    if (autoPad === "NOTSET") return [explicit[i] ?? 0, explicit[i + kernel.length] ?? 0];
    return samePads(spatial[i], size, strides[i] ?? 1, dilations[i] ?? 1, autoPad === "SAME_UPPER");
  });
  return { kernel, strides, dilations, pads };
}

/** out = ⌊(in + pads − dilation·(kernel − 1) − 1) / stride⌋ + 1; ⌈·⌉ with `ceil_mode`, ⌈in / stride⌉ with SAME. */
export function slidOutput(node: Node, window: Window, spatial: readonly Dim[]): Dim[] {
  const ceil = intAttribute(node, "ceil_mode", 0) !== 0;
  const same = stringAttribute(node, "auto_pad", "NOTSET").startsWith("SAME");
  return window.kernel.map((kernel, i) => {
    const input = spatial[i];
    const stride = window.strides[i] ?? 1;
    const extent = (window.dilations[i] ?? 1) * (kernel - 1) + 1;
    if (same && stride === 1) return input;
    const pads = window.pads[i];
    if (!pads) return undefined;
    if (typeof input !== "number") {
      if (same || ceil) return undefined;
      return addDims([floorDivideDims(addDims([input, pads[0] + pads[1] - extent]), stride), 1]);
    }
    if (same) return Math.ceil(input / stride);
    const steps = (input + pads[0] + pads[1] - extent) / stride;
    if (!ceil) return Math.floor(steps) + 1;
    // The last window must start inside the input or its leading padding.
    const outputs = Math.ceil(steps) + 1;
    return (outputs - 1) * stride >= input + pads[0] ? outputs - 1 : outputs;
  });
}

/** out = stride·(in − 1) + output_padding + dilation·(kernel − 1) + 1 − pads, or what `output_shape` or SAME says. */
export function transposedOutput(node: Node, window: Window, spatial: readonly Dim[]): Dim[] {
  const given = intsAttribute(node, "output_shape");
  if (given) return given.slice(-window.kernel.length);
  const extra = intsAttribute(node, "output_padding");
  const autoPad = stringAttribute(node, "auto_pad", "NOTSET");
  return window.kernel.map((kernel, i) => {
    const input = spatial[i];
    const stride = window.strides[i] ?? 1;
    if (typeof input !== "number") return undefined;
    const extent = (window.dilations[i] ?? 1) * (kernel - 1) + 1;
    const whole = stride * (input - 1) + (extra?.[i] ?? 0) + extent;
    // onnxruntime cuts down to input · stride, and never pads up to it.
    if (autoPad.startsWith("SAME")) return Math.min(input * stride, whole);
    const pads = window.pads[i] ?? [0, 0];
    return whole - pads[0] - pads[1];
  });
}

/** Whether the window may see padding; where the pads are not known, it may. */
export function isPadded(window: Window): boolean {
  return window.pads.some((pads) => !pads || pads[0] > 0 || pads[1] > 0);
}

function samePads(
  input: Dim,
  kernel: number,
  stride: number,
  dilation: number,
  upper: boolean,
): readonly [number, number] | undefined {
  const extent = dilation * (kernel - 1) + 1;
  // With stride 1 the total does not depend on the input size.
  if (typeof input !== "number" && stride !== 1) return undefined;
  const size = typeof input === "number" ? input : stride;
  const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
  const small = Math.floor(total / 2);
  return upper ? [small, total - small] : [total - small, small];
}
