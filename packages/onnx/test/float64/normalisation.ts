import { mapped, zipped } from "./broadcast.ts";
import type { Call, Kernel } from "./call.ts";
import { alongAxis, reduced, type RowFunction, total } from "./rows.ts";
import { type Float64Tensor, reshaped, sizeOf } from "./tensor.ts";

const mean: RowFunction = (row) => total(row) / row.length;

const meanSquare: RowFunction = (row) => {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i]! * row[i]!;
  return sum / row.length;
};

const add = (a: number, b: number): number => a + b;
const subtract = (a: number, b: number): number => a - b;
const multiply = (a: number, b: number): number => a * b;

/** x · scale + bias, each broadcast. */
function affine(
  x: Float64Tensor,
  scale: Float64Tensor | undefined,
  bias: Float64Tensor | undefined,
): Float64Tensor {
  const scaled = scale ? zipped(x, scale, multiply) : x;
  return bias ? zipped(scaled, bias, add) : scaled;
}

/** `[C]` → `[C, 1, …]`, to be broadcast to `[N, C, …]`. */
function perChannel(values: Float64Tensor, rank: number): Float64Tensor {
  return reshaped(values, [values.data.length, ...Array.from({ length: rank - 2 }, () => 1)]);
}

/** (x − mean) / √(variance + ε) over some axes, with the mean and the factor. */
function standardised(
  x: Float64Tensor,
  axes: readonly number[],
  epsilon: number,
): readonly [y: Float64Tensor, mean: Float64Tensor, factor: Float64Tensor] {
  const centre = reduced(x, axes, mean, true);
  const centred = zipped(x, centre, subtract);
  const factor = mapped(reduced(centred, axes, meanSquare, true), (v) => 1 / Math.sqrt(v + epsilon));
  return [zipped(centred, factor, multiply), centre, factor];
}

/** The axes from the one of the attribute `axis` to the last. */
function trailingAxes(call: Call): number[] {
  const rank = call.input(0).shape.length;
  const axis = call.axis("axis", -1, rank);
  return Array.from({ length: rank - axis }, (_, i) => axis + i);
}

function layerNorm(call: Call): Float64Tensor[] {
  const [y, centre, factor] = standardised(call.input(0), trailingAxes(call), call.float("epsilon", 1e-5));
  return [affine(y, call.input(1), call.inputs[2]), centre, factor];
}

/** x / √(mean x² + ε) · scale, with the factor. */
function rmsNorm(call: Call): Float64Tensor[] {
  const x = call.input(0);
  const epsilon = call.float("epsilon", 1e-5);
  const squares = reduced(x, trailingAxes(call), meanSquare, true);
  const factor = mapped(squares, (v) => 1 / Math.sqrt(v + epsilon));
  return [affine(zipped(x, factor, multiply), call.input(1), call.inputs[2]), factor];
}

function batchNorm(call: Call): Float64Tensor {
  if (call.int("training_mode", 0) !== 0) call.fail("training_mode is not implemented");
  const x = call.input(0);
  const epsilon = call.float("epsilon", 1e-5);
  const [scale, bias, centre, variance] = [1, 2, 3, 4].map((i) => perChannel(call.input(i), x.shape.length));
  const factor = mapped(variance!, (v) => 1 / Math.sqrt(v + epsilon));
  return affine(zipped(zipped(x, centre!, subtract), factor, multiply), scale, bias);
}

/** Standardised over the channels of a group and all positions; InstanceNormalization has one channel a group. */
function groupNorm(call: Call, groups: number): Float64Tensor {
  const x = call.input(0);
  const [batch, channels] = x.shape as readonly [number, number]; // `[N, C, …]` by definition
  const rows = reshaped(x, [batch, groups, x.data.length / (batch * groups)]);
  const [y] = standardised(rows, [2], call.float("epsilon", 1e-5));
  const [scale, bias] = [1, 2].map((i) => {
    const values = call.input(i);
    // One number a group in operator set 18, one a channel since 21.
    const repeat = channels / values.data.length;
    const wide = Float64Array.from({ length: channels }, (_, c) => values.data[Math.floor(c / repeat)]!);
    return perChannel({ ...values, shape: [channels], data: wide }, x.shape.length);
  });
  return affine(reshaped(y, x.shape), scale, bias);
}

/** x / ‖x‖ₚ along one axis; zero where the norm is. */
function lpNorm(call: Call): Float64Tensor {
  const x = call.input(0);
  const p = call.int("p", 2);
  return alongAxis(x, call.axis("axis", -1, x.shape.length), (row) => {
    let sum = 0;
    for (let i = 0; i < row.length; i++) sum += Math.abs(row[i]!) ** p;
    const norm = sum ** (1 / p);
    for (let i = 0; i < row.length; i++) row[i] = norm === 0 ? 0 : row[i]! / norm;
  });
}

/** (x − mean) / (σ + 1e-9) over the listed axes. */
function meanVarianceNorm(call: Call): Float64Tensor {
  const x = call.input(0);
  const axes = (call.ints("axes") ?? [0, 2, 3]).map((axis) => call.front(axis, x.shape.length));
  const centred = zipped(x, reduced(x, axes, mean, true), subtract);
  return zipped(centred, reduced(centred, axes, meanSquare, true), (a, v) => a / (Math.sqrt(v) + 1e-9));
}

/** x / (bias + α / size · Σ x²)^β, the sum over `size` neighbouring channels. */
function localResponseNorm(call: Call): Float64Tensor {
  const x = call.input(0);
  const [alpha, beta, bias] = [call.float("alpha", 1e-4), call.float("beta", 0.75), call.float("bias", 1)];
  const size = call.int("size", 1);
  const [batch, channels] = x.shape as readonly [number, number]; // `[N, C, …]` by definition
  const inner = sizeOf(x.shape.slice(2));
  const data = new Float64Array(x.data.length);
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) {
      const first = Math.max(0, c - Math.floor((size - 1) / 2));
      const last = Math.min(channels - 1, c + Math.ceil((size - 1) / 2));
      for (let i = 0; i < inner; i++) {
        let sum = 0;
        for (let other = first; other <= last; other++)
          sum += x.data[(n * channels + other) * inner + i]! ** 2;
        const at = (n * channels + c) * inner + i;
        data[at] = x.data[at]! / (bias + (alpha / size) * sum) ** beta;
      }
    }
  }
  return { ...x, data };
}

/** Operators that bring their input to a standard scale. */
export const normalisationKernels: { readonly [op: string]: Kernel } = {
  BatchNormalization: batchNorm,
  GroupNormalization: (call) => groupNorm(call, call.int("num_groups", 1)),
  InstanceNormalization: (call) => groupNorm(call, call.input(0).shape[1]!),
  LRN: localResponseNorm,
  LayerNormalization: layerNorm,
  LpNormalization: lpNorm,
  MeanVarianceNormalization: meanVarianceNorm,
  RMSNormalization: rmsNorm,
  SimplifiedLayerNormalization: rmsNorm,
};
