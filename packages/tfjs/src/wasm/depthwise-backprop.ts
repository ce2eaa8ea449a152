import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { checkFloats, floatsOf, type KernelArguments } from "./wasm-backend.ts";
import { forEachRun } from "./windows.ts";

type Shape4D = [number, number, number, number];

interface DepthwiseAttributes {
  readonly strides: [number, number] | number;
  readonly dilations: [number, number] | number;
  readonly pad: Parameters<typeof tf.backend_util.computeConv2DInfo>[4];
  readonly dimRoundingMode?: "floor" | "round" | "ceil";
}

function depthwiseInfo(
  kernel: string,
  inputShape: readonly number[],
  filterShape: readonly number[],
  { strides, dilations, pad, dimRoundingMode }: DepthwiseAttributes,
): tf.backend_util.Conv2DInfo {
  if (![dilations].flat().every((rate) => rate === 1)) {
    throw new DgateError(
      "UNSUPPORTED",
      `tfjs wasm ${kernel}: dilation rate is ${String(dilations)}; tfjs has no gradient for rates other than 1`,
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
    true,
  );
}

/**
 * DepthwiseConv2dNativeBackpropFilter: `dW[row, col, c, q] = Σ x[pixel under (row, col), c] · dY[position, c·Q + q]`
 * over images and positions, Q the channel multiplier. Summed in float64, as many terms meet in few weights.
 */
export function depthwiseBackpropFilter({
  inputs: { x, dy },
  backend,
  attrs,
}: KernelArguments<
  { readonly x: tf.TensorInfo; readonly dy: tf.TensorInfo },
  DepthwiseAttributes & { readonly filterShape: number[] }
>): tf.TensorInfo {
  checkFloats("DepthwiseConv2dNativeBackpropFilter", { x, dy });
  const info = depthwiseInfo("DepthwiseConv2dNativeBackpropFilter", x.shape, attrs.filterShape, attrs);
  const channels = info.inChannels;
  const multiplier = attrs.filterShape[3]!;
  const out = backend.makeOutput(attrs.filterShape, "float32");
  const input = floatsOf(backend, x);
  const grad = floatsOf(backend, dy);
  const sums = new Float64Array(tf.util.sizeFromShape(attrs.filterShape));
  forEachRun(info.batchSize, info, (position, row, firstCol, pixel, count) => {
    const gradFrom = position * channels * multiplier;
    for (let i = 0; i < count; i += 1) {
      let to = (row * info.filterWidth + firstCol + i) * channels * multiplier;
      let at = gradFrom;
      const inputFrom = (pixel + i) * channels;
      for (let c = 0; c < channels; c += 1) {
        const value = input[inputFrom + c]!;
        for (let q = 0; q < multiplier; q += 1, to += 1, at += 1) sums[to] = sums[to]! + value * grad[at]!;
      }
    }
  });
  floatsOf(backend, out).set(sums);
  return out;
}

/**
 * DepthwiseConv2dNativeBackpropInput: `dX[pixel, c] = Σ dY[position, c·Q + q] · W[row, col, c, q]` over the windows
 * that see the pixel and the Q filters of its channel.
 */
export function depthwiseBackpropInput({
  inputs: { dy, filter },
  backend,
  attrs,
}: KernelArguments<
  { readonly dy: tf.TensorInfo; readonly filter: tf.TensorInfo },
  DepthwiseAttributes & { readonly inputShape: number[] }
>): tf.TensorInfo {
  checkFloats("DepthwiseConv2dNativeBackpropInput", { dy, filter });
  const info = depthwiseInfo("DepthwiseConv2dNativeBackpropInput", attrs.inputShape, filter.shape, attrs);
  const channels = info.inChannels;
  const multiplier = filter.shape[3]!;
  const out = backend.makeOutput(attrs.inputShape, "float32");
  const input = floatsOf(backend, out).fill(0);
  const grad = floatsOf(backend, dy);
  const weights = floatsOf(backend, filter);
  forEachRun(info.batchSize, info, (position, row, firstCol, pixel, count) => {
    const gradFrom = position * channels * multiplier;
    for (let i = 0; i < count; i += 1) {
      let from = (row * info.filterWidth + firstCol + i) * channels * multiplier;
      let at = gradFrom;
      const inputTo = (pixel + i) * channels;
      for (let c = 0; c < channels; c += 1) {
        let sum = input[inputTo + c]!;
        for (let q = 0; q < multiplier; q += 1, from += 1, at += 1) sum += grad[at]! * weights[from]!;
        input[inputTo + c] = sum;
      }
    }
  });
  return out;
}
