import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";

/** The few members of tfjs's `BackendWasm` that the kernels here use; its own types live in an optional package. */
export interface WasmBackend {
  readonly wasm: {
    readonly HEAPU8: Uint8Array<ArrayBuffer>;
    /** Raw exports of the WebAssembly instance. */
    readonly asm?: Readonly<Record<string, unknown>>;
  };
  readonly dataIdMap: { get(dataId: object): { readonly memoryOffset: number } };
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
  disposeData(dataId: object): boolean;
}

/** What tfjs hands to a kernel. */
export interface KernelArguments<Inputs, Attributes> {
  readonly inputs: Inputs;
  readonly backend: WasmBackend;
  readonly attrs: Attributes;
}

/** Address of a tensor's first byte in the backend's memory. */
export function addressOf(backend: WasmBackend, tensor: tf.TensorInfo): number {
  return backend.dataIdMap.get(tensor.dataId).memoryOffset;
}

/**
 * A float32 tensor's elements, in place. The view dies when the memory grows: take views after the last allocation
 * of a kernel, and keep none.
 */
export function floatsOf(backend: WasmBackend, tensor: tf.TensorInfo): Float32Array {
  const size = tf.util.sizeFromShape(tensor.shape);
  return new Float32Array(backend.wasm.HEAPU8.buffer, addressOf(backend, tensor), size);
}

/** An int32 tensor's elements, in place; the same caution as for `floatsOf` holds. */
export function intsOf(backend: WasmBackend, tensor: tf.TensorInfo): Int32Array {
  const size = tf.util.sizeFromShape(tensor.shape);
  return new Int32Array(backend.wasm.HEAPU8.buffer, addressOf(backend, tensor), size);
}

/** Runs another kernel of the wasm backend. The result is the caller's to dispose. */
export function runKernel(
  backend: WasmBackend,
  name: string,
  inputs: tf.NamedTensorInfoMap,
  attrs: tf.NamedAttrMap = {},
): tf.TensorInfo {
  const kernel = tf.getKernel(name, "wasm");
  if (kernel === null || kernel === undefined) {
    throw new DgateError("UNSUPPORTED", `tfjs wasm: kernel ${name} is not registered`);
  }
  // A kernel may return several tensors by its type; those named here return one.
  return kernel.kernelFunc({ inputs, backend, attrs }) as tf.TensorInfo;
}

/** Throws unless all tensors are float32: the kernels here read raw floats. */
export function checkFloats(kernel: string, tensors: Readonly<Record<string, tf.TensorInfo>>): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor.dtype !== "float32") {
      throw new DgateError(
        "UNSUPPORTED",
        `tfjs wasm ${kernel}: ${name} is ${tensor.dtype}, expected float32. Cast it with tensor.toFloat().`,
      );
    }
  }
}
