import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { conv2dBackpropFilter, conv2dBackpropInput } from "./conv2d-backprop.ts";
import { depthwiseBackpropFilter, depthwiseBackpropInput } from "./depthwise-backprop.ts";
import { batchMatMul, fusedMatMul, type Stock } from "./mat-mul.ts";
import { maxPoolGrad } from "./max-pool-grad.ts";
import { oneHot } from "./one-hot.ts";
import { explicitPadding } from "./same-padding.ts";
import { unsortedSegmentSum } from "./unsorted-segment-sum.ts";
import type { KernelArguments } from "./wasm-backend.ts";

/** A kernel given the stock kernel it replaces. */
type Improved = (stock: Stock, args: KernelArguments<never, never>) => tf.TensorInfo;
/** A kernel that tfjs's wasm backend lacks. */
type Added = (args: KernelArguments<never, never>) => tf.TensorInfo;

const improved: { readonly [name: string]: Improved } = {
  BatchMatMul: batchMatMul,
  _FusedMatMul: fusedMatMul,
  Conv2D: explicitPadding(false),
  FusedConv2D: explicitPadding(false),
  DepthwiseConv2dNative: explicitPadding(true),
  FusedDepthwiseConv2D: explicitPadding(true),
  Conv2DBackpropInput: (_, args) => conv2dBackpropInput(args),
  MaxPoolGrad: (_, args) => maxPoolGrad(args),
  OneHot: (_, args) => oneHot(args),
};

const added: { readonly [name: string]: Added } = {
  Conv2DBackpropFilter: conv2dBackpropFilter,
  DepthwiseConv2dNativeBackpropFilter: depthwiseBackpropFilter,
  DepthwiseConv2dNativeBackpropInput: depthwiseBackpropInput,
  UnsortedSegmentSum: unsortedSegmentSum,
};

const ours = new WeakSet<tf.KernelFunc>();

function register(config: tf.KernelConfig): void {
  ours.add(config.kernelFunc);
  tf.registerKernel(config);
}

/**
 * Registers better kernels for tfjs's wasm backend, before or after it is started: matrix products with transposed
 * operands (tfjs's own are about ten times slower), what it lacks for training convolutions, depthwise convolutions and
 * embeddings, and what it computes wrongly (the gradient of max pooling, strided "same" convolutions,
 * one-hot vectors of floats). Calling it again changes nothing.
 *
 * @throws DgateError MISSING_PACKAGE when @tensorflow/tfjs-backend-wasm has not been imported
 */
export function registerWasmKernels(): void {
  const stockMatMul = tf.getKernel("BatchMatMul", "wasm");
  if (stockMatMul === null || stockMatMul === undefined) {
    throw new DgateError(
      "MISSING_PACKAGE",
      "registerWasmKernels: tfjs's wasm backend is not loaded; npm install @tensorflow/tfjs-backend-wasm and import it first",
    );
  }
  for (const [kernelName, kernel] of Object.entries(improved)) {
    const config = tf.getKernel(kernelName, "wasm");
    if (ours.has(config.kernelFunc)) continue;
    // tfjs warns when a kernel is registered twice. Its set-up still has to run: the stock kernel is called inside.
    tf.unregisterKernel(kernelName, "wasm");
    const stock: Stock = (backend, inputs, attrs) =>
      config.kernelFunc({ inputs, attrs, backend }) as tf.TensorInfo;
    register({ ...config, kernelFunc: (args) => kernel(stock, args as never) });
  }
  for (const [kernelName, kernel] of Object.entries(added)) {
    const present = tf.getKernel(kernelName, "wasm");
    if (present !== null && present !== undefined) continue;
    register({ kernelName, backendName: "wasm", kernelFunc: (args) => kernel(args as never) });
  }
}
