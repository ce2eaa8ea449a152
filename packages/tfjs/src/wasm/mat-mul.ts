import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { gemmOf } from "./gemm.ts";
import { addressOf, checkFloats, type KernelArguments, runKernel, type WasmBackend } from "./wasm-backend.ts";

interface MatMulInputs {
  readonly a: tf.TensorInfo;
  readonly b: tf.TensorInfo;
}

interface MatMulAttributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

interface FusedInputs extends MatMulInputs {
  readonly bias?: tf.TensorInfo;
  readonly preluActivationWeights?: tf.TensorInfo;
}

type FusedAttributes = MatMulAttributes & tf.NamedAttrMap;

/** The kernel that a new one stands before. */
export type Stock = (
  backend: WasmBackend,
  inputs: tf.NamedTensorInfoMap,
  attrs: tf.NamedAttrMap,
) => tf.TensorInfo;

/** Rows and columns of `op(x)`, and the batch axes before them. */
function operand(tensor: tf.TensorInfo, flip: boolean): { batch: number[]; rows: number; cols: number } {
  const [rows, cols] = tensor.shape.slice(-2) as [number, number];
  const batch = tensor.shape.slice(0, -2);
  return flip ? { batch, rows: cols, cols: rows } : { batch, rows, cols };
}

/**
 * For every matrix of the broadcast batch, in row-major order, the index of the operand's matrix.
 *
 * @param batch     the operand's batch axes
 * @param outBatch  the broadcast batch axes
 */
function batchIndices(batch: readonly number[], outBatch: readonly number[]): Int32Array {
  const indices = new Int32Array(tf.util.sizeFromShape([...outBatch]));
  const lead = outBatch.length - batch.length;
  for (let flat = 0; flat < indices.length; flat += 1) {
    let rest = flat;
    let stride = 1;
    let index = 0;
    for (let axis = outBatch.length - 1; axis >= lead; axis -= 1) {
      const size = batch[axis - lead]!;
      index += size === 1 ? 0 : (rest % outBatch[axis]!) * stride;
      rest = Math.floor(rest / outBatch[axis]!);
      stride *= size;
    }
    indices[flat] = index;
  }
  return indices;
}

/** Swaps the last two axes. */
function transposed(backend: WasmBackend, x: tf.TensorInfo): tf.TensorInfo {
  const perm = x.shape.map((_, axis) => axis);
  perm.push(...perm.splice(-2).reverse());
  return runKernel(backend, "Transpose", { x }, { perm });
}

/** Repeats a tensor along its batch axes until they are `outBatch`. */
function tiled(backend: WasmBackend, x: tf.TensorInfo, outBatch: readonly number[]): tf.TensorInfo {
  const lead = outBatch.length + 2 - x.shape.length;
  const shape = [...Array.from({ length: lead }, () => 1), ...x.shape];
  const reps = shape.map((size, axis) => (axis < outBatch.length ? outBatch[axis]! / size : 1));
  return runKernel(backend, "Tile", { x: { ...x, shape } }, { reps });
}

/**
 * `op(A)·op(B)` by tfjs's own kernel on operands that are first laid out plainly: transposing costs far less than
 * its element-by-element loop for transposed operands. Broadcast batches are repeated, because that kernel takes
 * matrix `i mod n` of an operand with `n` matrices, which is right only for equal or single batches.
 */
export function matMulByTransposing(
  stock: Stock,
  backend: WasmBackend,
  { a, b }: MatMulInputs,
  { transposeA, transposeB }: MatMulAttributes,
): tf.TensorInfo {
  const scratch: tf.TensorInfo[] = [];
  const keep = (tensor: tf.TensorInfo): tf.TensorInfo => {
    scratch.push(tensor);
    return tensor;
  };
  const outBatch = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const plain = (x: tf.TensorInfo, flip: boolean): tf.TensorInfo => {
    const straight = flip ? keep(transposed(backend, x)) : x;
    const batch = x.shape.slice(0, -2);
    const same = tf.util.sizeFromShape(batch) === 1 || tf.util.arraysEqual(batch, outBatch);
    return same ? straight : keep(tiled(backend, straight, outBatch));
  };
  const inputs = { a: plain(a, transposeA), b: plain(b, transposeB) };
  const out = stock(backend, inputs, { transposeA: false, transposeB: false });
  for (const tensor of scratch) backend.disposeData(tensor.dataId);
  return out;
}

/**
 * BatchMatMul: `C[i] = op(A[i])·op(B[i])` with any transposition, batch axes broadcast as NumPy does.
 * Shapes `[…, rows, cols]`, float32.
 */
export function batchMatMul(
  stock: Stock,
  { inputs, backend, attrs }: KernelArguments<MatMulInputs, MatMulAttributes>,
): tf.TensorInfo {
  checkFloats("BatchMatMul", { a: inputs.a, b: inputs.b });
  const { a, b } = inputs;
  const { transposeA, transposeB } = attrs;
  const left = operand(a, transposeA);
  const right = operand(b, transposeB);
  if (left.cols !== right.rows) {
    throw new DgateError(
      "SHAPE",
      `matMul: inner sizes ${left.cols} and ${right.rows} differ ` +
        `([${a.shape.join(", ")}]${transposeA ? "ᵀ" : ""} · [${b.shape.join(", ")}]${transposeB ? "ᵀ" : ""})`,
    );
  }
  const gemm = gemmOf(backend);
  if (gemm === undefined) return matMulByTransposing(stock, backend, inputs, attrs);
  const outBatch = tf.broadcast_util.assertAndGetBroadcastShape(left.batch, right.batch);
  const out = backend.makeOutput([...outBatch, left.rows, right.cols], "float32");
  const [m, n, k] = [left.rows, right.cols, left.cols];
  const rights = batchIndices(right.batch, outBatch);
  batchIndices(left.batch, outBatch).forEach((index, i) => {
    gemm({
      m,
      n,
      k,
      a: addressOf(backend, a) + 4 * m * k * index,
      transposeA,
      b: addressOf(backend, b) + 4 * k * n * rights[i]!,
      transposeB,
      c: addressOf(backend, out) + 4 * m * n * i,
    });
  });
  return out;
}

/** _FusedMatMul: transposes first, then tfjs's own fused kernel adds the bias and applies the activation. */
export function fusedMatMul(
  stock: Stock,
  { inputs, backend, attrs }: KernelArguments<FusedInputs, FusedAttributes>,
): tf.TensorInfo {
  const { a, b, ...rest } = inputs;
  checkFloats("_FusedMatMul", { a, b });
  const present = Object.fromEntries(Object.entries(rest).filter(([, tensor]) => tensor !== undefined));
  const fused: Stock = (_, { a: left, b: right }, flags) =>
    stock(backend, { a: left!, b: right!, ...present }, { ...attrs, ...flags });
  return matMulByTransposing(fused, backend, { a, b }, attrs);
}
