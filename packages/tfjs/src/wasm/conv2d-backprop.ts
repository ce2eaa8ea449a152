import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { checkFloats, floatsOf, type KernelArguments, runKernel, type WasmBackend } from "./wasm-backend.ts";
import { gatherPatches, scatterPatches } from "./windows.ts";

type Shape4D = [number, number, number, number];

interface ConvAttributes {
  readonly strides: [number, number] | number;
  readonly pad: Parameters<typeof tf.backend_util.computeConv2DInfo>[4];
  readonly dataFormat: "NHWC" | "NCHW";
  readonly dimRoundingMode?: "floor" | "round" | "ceil";
}

/** Floats in the patch matrix of one round (16 MB); more images than fit are taken in several rounds. */
const patchLimit = 4 * 1024 * 1024;

function convInfo(
  kernel: string,
  inputShape: readonly number[],
  filterShape: readonly number[],
  { strides, pad, dataFormat, dimRoundingMode }: ConvAttributes,
): tf.backend_util.Conv2DInfo {
  if (dataFormat === "NCHW") {
    throw new DgateError(
      "UNSUPPORTED",
      `tfjs wasm ${kernel}: dataFormat is NCHW, expected NHWC. Build the layer with dataFormat: "channelsLast".`,
    );
  }
  // tfjs has checked both to be of rank 4.
  return tf.backend_util.computeConv2DInfo(
    [...inputShape] as Shape4D,
    [...filterShape] as Shape4D,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
}

/** Images per round, and the sizes of the patch matrix of one image. */
function rounds(info: tf.backend_util.Conv2DInfo): {
  images: number;
  positions: number;
  patchSize: number;
} {
  const positions = info.outHeight * info.outWidth;
  const patchSize = info.filterHeight * info.filterWidth * info.inChannels;
  const images = Math.max(1, Math.min(info.batchSize, Math.floor(patchLimit / (positions * patchSize))));
  return { images, positions, patchSize };
}

/** Some images of a batch as a matrix with one row per output position. The caller disposes of it. */
function rowsOf(
  backend: WasmBackend,
  x: tf.TensorInfo,
  first: number,
  images: number,
  positions: number,
): tf.TensorInfo {
  const channels = x.shape[3]!;
  const flat = { ...x, shape: [x.shape[0]! * positions, channels] };
  const attrs = { begin: [first * positions, 0], size: [images * positions, channels] };
  return runKernel(backend, "Slice", { x: flat }, attrs);
}

function product(
  backend: WasmBackend,
  inputs: { a: tf.TensorInfo; b: tf.TensorInfo },
  transpose: { transposeA: boolean; transposeB: boolean },
): tf.TensorInfo {
  return runKernel(backend, "BatchMatMul", inputs, transpose);
}

/**
 * Conv2DBackpropFilter: `dW = Pᵀ·dY`, with P the patches of the input that the windows see,
 * `[positions, filterHeight · filterWidth · inChannels]`, and dY as `[positions, outChannels]`.
 */
export function conv2dBackpropFilter({
  inputs: { x, dy },
  backend,
  attrs,
}: KernelArguments<
  { readonly x: tf.TensorInfo; readonly dy: tf.TensorInfo },
  ConvAttributes & { readonly filterShape: number[] }
>): tf.TensorInfo {
  checkFloats("Conv2DBackpropFilter", { x, dy });
  const info = convInfo("Conv2DBackpropFilter", x.shape, attrs.filterShape, attrs);
  const { images, positions, patchSize } = rounds(info);
  const pixels = info.inHeight * info.inWidth * info.inChannels;
  const out = backend.makeOutput(attrs.filterShape, "float32");
  floatsOf(backend, out).fill(0);
  for (let first = 0; first < info.batchSize; first += images) {
    const count = Math.min(images, info.batchSize - first);
    const patches = backend.makeOutput([count * positions, patchSize], "float32");
    const input = floatsOf(backend, x).subarray(first * pixels);
    gatherPatches(backend, count, info, input, floatsOf(backend, patches));
    const rows = rowsOf(backend, dy, first, count, positions);
    const part = product(backend, { a: patches, b: rows }, { transposeA: true, transposeB: false });
    const sum = floatsOf(backend, out);
    floatsOf(backend, part).forEach((value, i) => {
      sum[i] = sum[i]! + value;
    });
    for (const tensor of [patches, rows, part]) backend.disposeData(tensor.dataId);
  }
  return out;
}

/**
 * Conv2DBackpropInput (and the forward pass of a transposed convolution): patches of the input's gradient are
 * `dY·Wᵀ`, with W as `[filterHeight · filterWidth · inChannels, outChannels]`, and are added up where windows overlap.
 */
export function conv2dBackpropInput({
  inputs: { dy, filter },
  backend,
  attrs,
}: KernelArguments<
  { readonly dy: tf.TensorInfo; readonly filter: tf.TensorInfo },
  ConvAttributes & { readonly inputShape: number[] }
>): tf.TensorInfo {
  checkFloats("Conv2DBackpropInput", { dy, filter });
  const info = convInfo("Conv2DBackpropInput", attrs.inputShape, filter.shape, attrs);
  const { images, positions, patchSize } = rounds(info);
  const pixels = info.inHeight * info.inWidth * info.inChannels;
  const weights = { ...filter, shape: [patchSize, info.outChannels] };
  const out = backend.makeOutput(attrs.inputShape, "float32");
  for (let first = 0; first < info.batchSize; first += images) {
    const count = Math.min(images, info.batchSize - first);
    const rows = rowsOf(backend, dy, first, count, positions);
    const patches = product(backend, { a: rows, b: weights }, { transposeA: false, transposeB: true });
    const input = floatsOf(backend, out).subarray(first * pixels, (first + count) * pixels);
    scatterPatches(backend, count, info, floatsOf(backend, patches), input);
    for (const tensor of [rows, patches]) backend.disposeData(tensor.dataId);
  }
  return out;
}
