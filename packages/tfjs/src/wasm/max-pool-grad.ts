import * as tf from "@tensorflow/tfjs";
import { checkFloats, floatsOf, type KernelArguments } from "./wasm-backend.ts";

type Shape4D = [number, number, number, number];

/**
 * MaxPoolGrad: every output's gradient goes to the first largest pixel of its window. tfjs's own kernel starts its
 * search at zero and so loses the gradient of windows without a positive pixel.
 */
export function maxPoolGrad({
  inputs: { dy, input, output },
  backend,
  attrs: { filterSize, strides, pad, dimRoundingMode },
}: KernelArguments<
  { readonly dy: tf.TensorInfo; readonly input: tf.TensorInfo; readonly output: tf.TensorInfo },
  {
    readonly filterSize: [number, number] | number;
    readonly strides: [number, number] | number;
    readonly pad: Parameters<typeof tf.backend_util.computePool2DInfo>[4];
    readonly dimRoundingMode?: "floor" | "round" | "ceil";
  }
>): tf.TensorInfo {
  checkFloats("MaxPoolGrad", { dy, input, output });
  // tfjs has checked the input to be of rank 4.
  const shape = input.shape as Shape4D;
  const info = tf.backend_util.computePool2DInfo(shape, filterSize, strides, 1, pad, dimRoundingMode);
  const out = backend.makeOutput(input.shape, "float32");
  const dx = floatsOf(backend, out).fill(0);
  const pixels = floatsOf(backend, input);
  const largest = floatsOf(backend, output);
  const grad = floatsOf(backend, dy);
  const { inHeight, inWidth, inChannels: channels } = info;
  let at = 0;
  for (let image = 0; image < info.batchSize; image += 1) {
    for (let y = 0; y < info.outHeight; y += 1) {
      const firstRow = y * info.strideHeight - info.padInfo.top;
      const rows = { from: Math.max(0, firstRow), end: Math.min(inHeight, firstRow + info.filterHeight) };
      for (let x = 0; x < info.outWidth; x += 1) {
        const firstCol = x * info.strideWidth - info.padInfo.left;
        const cols = { from: Math.max(0, firstCol), end: Math.min(inWidth, firstCol + info.filterWidth) };
        for (let c = 0; c < channels; c += 1, at += 1) {
          const pixel = firstEqual(pixels, largest[at]!, image * inHeight, rows, cols, inWidth, channels, c);
          if (pixel >= 0) dx[pixel] = dx[pixel]! + grad[at]!;
        }
      }
    }
  }
  return out;
}

interface Range {
  readonly from: number;
  readonly end: number;
}

/** Index of the window's first pixel that has the value, in row-major order; −1 if none has (not a number). */
function firstEqual(
  pixels: Float32Array,
  value: number,
  rowOffset: number,
  rows: Range,
  cols: Range,
  width: number,
  channels: number,
  channel: number,
): number {
  for (let row = rows.from; row < rows.end; row += 1) {
    let pixel = ((rowOffset + row) * width + cols.from) * channels + channel;
    for (let col = cols.from; col < cols.end; col += 1, pixel += channels) {
      if (pixels[pixel] === value) return pixel;
    }
  }
  return -1;
}
