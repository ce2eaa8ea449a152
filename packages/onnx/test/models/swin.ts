import { int, ints, type Value } from "@dgate/onnx";
import type { AttentionShape } from "./attention-parts.ts";
import { shiftMaskConstant, windowAttention } from "./attention-window.ts";
import { gemm, stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { layerNorm } from "./norms.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of `swin`. */
export interface SwinOptions extends ExporterOptions {
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
}

const side = 2;

/** `torch.roll` along one axis: what is behind `shift` first, then what is before it. */
function roll(ex: Exporter, x: Value, shift: number, axis: number): Value {
  return ex.concat([ex.slice(x, shift, undefined, axis), ex.slice(x, 0, shift, axis)], axis);
}

/** `[images, size, size, width]` → `[windows, side², width]`. */
function partition(ex: Exporter, x: Value, size: number, width: number): Value {
  const count = size / side;
  const apart = ex.reshape(x, [ex.sizeOf(x, 0), count, side, count, side, width]);
  const windows = ex.reshape(ex.transpose(apart, [0, 1, 3, 2, 4, 5]), [-1, side, side, width]);
  return ex.reshape(windows, [-1, side * side, width]);
}

/** `[windows, side², width]` → `[images, size, size, width]`. */
function reverse(ex: Exporter, windows: Value, size: number, width: number): Value {
  const count = size / side;
  const square = ex.reshape(windows, [-1, side, side, width]);
  const apart = ex.reshape(square, [-1, count, count, side, side, width]);
  return ex.reshape(ex.transpose(apart, [0, 1, 3, 2, 4, 5]), [-1, size, size, width]);
}

function swinLayer(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  hidden: number,
  [size, shift]: readonly [number, number],
) {
  const { width } = shape;
  const image = ex.reshape(layerNorm(ex, "layernorm_before", x, width), [ex.sizeOf(x, 0), size, size, width]);
  const moved = shift > 0 ? roll(ex, roll(ex, image, shift, 1), shift, 2) : image;
  const windows = partition(ex, moved, size, width);
  const masked =
    shift > 0 ? { mask: shiftMaskConstant(ex, size, side, shift), windows: (size / side) ** 2 } : {};
  const { y, attention } = windowAttention(ex, windows, shape, side, masked);
  const together = reverse(ex, y, size, width);
  const back = shift > 0 ? roll(ex, roll(ex, together, size - shift, 1), size - shift, 2) : together;
  const middle = ex.op("Add", [x, ex.reshape(back, [ex.sizeOf(x, 0), size * size, width])]);
  const normed = layerNorm(ex, "layernorm_after", middle, width);
  const names = { up: "intermediate/dense", down: "output/dense" };
  const inner = feedForward(ex, normed, [width, hidden], "gelu", names);
  return { y: ex.op("Add", [middle, inner]), attention };
}

/** Patch merging: four Slices with step 2 joined along the channels, LayerNorm, and a reduction to twice the width. */
function mergePatches(ex: Exporter, x: Value, size: number, width: number): Value {
  return ex.within("downsample", () => {
    const image = ex.reshape(x, [ex.sizeOf(x, 0), size, size, width]);
    const corners = [0, 1].flatMap((column) =>
      [0, 1].map((row) => ex.slice(ex.slice(image, row, undefined, 1, 2), column, undefined, 2, 2)),
    );
    const joined = ex.reshape(ex.concat(corners, -1), [ex.sizeOf(x, 0), -1, 4 * width]);
    return ex.linear("reduction", layerNorm(ex, "norm", joined, 4 * width), [4 * width, 2 * width], {
      bias: false,
    }).y;
  });
}

/** Two Swin stages on 16 × 16 pixels: windows and shifted windows of 2 × 2 on 4 × 4 patches, patch merging, one more layer. */
export function swin(options: SwinOptions = {}): TransformerModel {
  const { heads = 2, headDim = 8, hidden = 24 } = options;
  const ex = new Exporter({ opset: 13, ...options });
  const width = heads * headDim;
  const pixels = ex.input("pixel_values", ["batch_size", 3, 16, 16], content.normal);
  const attention: AttentionExpectation[] = [];
  const y = ex.within("swin", () => {
    const grid = ex.within("embeddings/patch_embeddings/projection", () => {
      const attributes = { kernel_shape: ints([4, 4]), strides: ints([4, 4]) };
      const w = ex.weight("weight", [width, 3, 4, 4], { scale: 0.2 });
      return ex.op("Conv", [pixels, w, ex.weight("bias", [width])], attributes);
    });
    const front = ex.op("Slice", [ex.op("Shape", [grid]), ex.i64s([0]), ex.i64s([2]), ex.i64s([0])]);
    const flat = ex.transpose(ex.op("Reshape", [grid, ex.concat([front, ex.i64s([-1])], 0)]), [0, 2, 1]);
    const tokens = layerNorm(ex, "embeddings/norm", flat, width);
    const first = stack(tokens, 2, (value, i) =>
      ex.within(`encoder/layers.0/blocks.${i}`, () =>
        swinLayer(ex, value, { width, heads, headDim }, hidden, [4, i === 1 ? 1 : 0]),
      ),
    );
    const merged = ex.within("encoder/layers.0", () => mergePatches(ex, first.y, 4, width));
    const wide = { width: 2 * width, heads: 2 * heads, headDim };
    const second = ex.within("encoder/layers.1/blocks.0", () =>
      swinLayer(ex, merged, wide, 2 * hidden, [2, 0]),
    );
    attention.push(...first.attention, second.attention);
    return layerNorm(ex, "layernorm", second.y, 2 * width);
  });
  const pooled = ex.op("GlobalAveragePool", [ex.transpose(y, [0, 2, 1])]);
  const flat = ex.op("Flatten", [pooled], { axis: int(1) });
  ex.output("logits", gemm(ex, "classifier", flat, [2 * width, 5]), ["batch_size", 5]);
  return ex.finish(attention, { batch_size: 2 });
}
