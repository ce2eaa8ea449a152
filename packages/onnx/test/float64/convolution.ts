import { zipped } from "./broadcast.ts";
import type { Call, Kernel } from "./call.ts";
import { multiplyAdd } from "./matmul.ts";
import { transposed } from "./strided.ts";
import { type Float64Tensor, reshaped, sizeOf } from "./tensor.ts";
import { kernelReach, slidingWindow, type Window, windowSizes, windowTable } from "./window.ts";

/** `[N, C, …]`, `[M, C / groups, …]` → `[N, M, …]`: the matrix product of the weight with the unfolded input. */
function conv(call: Call): Float64Tensor {
  const [x, weight] = [call.input(0), call.input(1)];
  const [batch, channels] = x.shape as readonly [number, number]; // `[N, C, …]` by definition
  const [filters, perGroup] = weight.shape as readonly [number, number]; // `[M, C / groups, …]` by definition
  const groups = call.int("group", 1);
  if (perGroup * groups !== channels) call.fail(`${groups} groups do not fit`);
  const window = slidingWindow(call, weight.shape.slice(2), x.shape.slice(2));
  const table = windowTable(window);
  const [taps, places] = windowSizes(window);
  const size = sizeOf(window.input);
  const rows = filters / groups;
  const inner = perGroup * taps;
  const data = new Float64Array(batch * filters * places);
  const columns = new Float64Array(inner * places);
  for (let i = 0; i < batch * groups; i++) {
    unfold(x.data.subarray(i * perGroup * size, (i + 1) * perGroup * size), size, table, columns);
    const group = i % groups;
    const factor = weight.data.subarray(group * rows * inner, (group + 1) * rows * inner);
    const out = data.subarray(i * rows * places, (i + 1) * rows * places);
    multiplyAdd(factor, columns, out, { rows, inner, columns: places });
  }
  return withBias(call, { dtype: x.dtype, shape: [batch, filters, ...window.output], data });
}

/** `[N, C, …]`, `[C, M / groups, …]` → `[N, M, …]`: what Conv's transpose makes of its input. */
function convTranspose(call: Call): Float64Tensor {
  const [x, weight] = [call.input(0), call.input(1)];
  const [batch, channels] = x.shape as readonly [number, number]; // `[N, C, …]` by definition
  const rows = weight.shape[1]!;
  const groups = call.int("group", 1);
  const window = transposedWindow(call, weight.shape.slice(2), x.shape.slice(2));
  const table = windowTable(window);
  const [taps, places] = windowSizes(window);
  const size = sizeOf(window.input);
  const perGroup = channels / groups;
  const turned = transposed(reshaped(weight, [groups, perGroup, rows * taps]), [0, 2, 1]).data;
  const data = new Float64Array(batch * groups * rows * size);
  const columns = new Float64Array(rows * taps * places);
  for (let i = 0; i < batch * groups; i++) {
    const group = i % groups;
    const factor = turned.subarray(group * rows * taps * perGroup, (group + 1) * rows * taps * perGroup);
    const input = x.data.subarray(i * perGroup * places, (i + 1) * perGroup * places);
    columns.fill(0);
    multiplyAdd(factor, input, columns, { rows: rows * taps, inner: perGroup, columns: places });
    fold(columns, table, data.subarray(i * rows * size, (i + 1) * rows * size), size);
  }
  return withBias(call, { dtype: x.dtype, shape: [batch, groups * rows, ...window.input], data });
}

/** The window of the convolution whose transpose is asked for: it slides over the output and stops at each input. */
function transposedWindow(call: Call, kernel: readonly number[], input: readonly number[]): Window {
  const { strides, dilations, extent } = kernelReach(call, kernel);
  const extra = call.ints("output_padding");
  const whole = input.map((size, i) => strides[i]! * (size - 1) + extent[i]! + (extra?.[i] ?? 0));
  const pad = call.string("auto_pad", "NOTSET");
  const rest = { kernel, strides, dilations, output: input };
  const given = call.ints("output_shape")?.slice(-kernel.length);
  if (given || pad.startsWith("SAME")) {
    // As onnxruntime does, SAME cuts down to input · stride but does not fill up to it.
    const size = given ?? whole.map((dim, i) => Math.min(dim, input[i]! * strides[i]!));
    const cut = whole.map((dim, i) => Math.max(0, dim - size[i]!));
    const less = cut.map((dim) => Math.floor(dim / 2));
    const more = cut.map((dim) => Math.ceil(dim / 2));
    const [begin, end] = pad === "SAME_UPPER" ? [less, more] : [more, less];
    return { ...rest, begin, end, input: size };
  }
  const pads = pad === "VALID" ? undefined : call.ints("pads");
  const begin = kernel.map((_, i) => pads?.[i] ?? 0);
  const end = kernel.map((_, i) => pads?.[i + kernel.length] ?? 0);
  return { ...rest, begin, end, input: whole.map((dim, i) => dim - begin[i]! - end[i]!) };
}

/** `[channels, size]` → `[channels, taps, places]`, zero in the padding. */
function unfold(x: Float64Array, size: number, table: Int32Array, columns: Float64Array): void {
  for (let start = 0, to = 0; start < x.length; start += size) {
    for (let i = 0; i < table.length; i++) {
      const at = table[i]!;
      columns[to++] = at < 0 ? 0 : x[start + at]!;
    }
  }
}

/** `[channels, taps, places]` added to `[channels, size]`; what falls into the padding is dropped. */
function fold(columns: Float64Array, table: Int32Array, out: Float64Array, size: number): void {
  for (let start = 0, from = 0; start < out.length; start += size) {
    for (let i = 0; i < table.length; i++, from++) {
      const at = table[i]!;
      if (at >= 0) out[start + at]! += columns[from]!;
    }
  }
}

function withBias(call: Call, y: Float64Tensor): Float64Tensor {
  const bias = call.inputs[2];
  if (!bias) return y;
  const channels = reshaped(bias, [bias.data.length, ...y.shape.slice(2).map(() => 1)]);
  return zipped(y, channels, (a, b) => a + b);
}

/** Convolutions of any number of spatial axes. */
export const convolutionKernels: { readonly [op: string]: Kernel } = {
  Conv: conv,
  ConvTranspose: convTranspose,
};
