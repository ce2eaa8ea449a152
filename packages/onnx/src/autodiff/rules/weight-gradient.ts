import { int, ints } from "../../graph/attribute.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import { product, range, reshapeTo, sizeAt } from "./sizes.ts";
import { padSpatial, type Sliding, taps } from "./sliding.ts";

/** A cross-correlation y = x ⋆ w of which ∂L/∂w is asked. */
export interface Correlation<T> {
  /** `[batch, channels, …spatial]` */
  readonly x: T;
  /** ∂L/∂y, `[batch, filters, …outputs]` */
  readonly g: T;
  readonly sliding: Sliding;
  readonly group: number;
  readonly channels: number;
  readonly filters: number;
}

/**
 * ∂L/∂w of a cross-correlation, `[filters, channels / group, …kernel]`:
 *
 *     dw[m, c, k] = Σ_{n,o} g[n, m, o] · x[n, c, stride·o + dilation·k − before]
 */
export function weightGradient<T>(ops: DiffOps<T>, correlation: Correlation<T>): T {
  const { sliding, group, channels } = correlation;
  const count = product(sliding.kernel);
  if (group === 1 && isTiling(sliding)) return weightsByPatches(ops, correlation);
  // Measured in onnxruntime's CPU and WASM back ends: patches take half the time of the convolution, but for large kernels in
  // depthwise convolutions up to three times it. They also take several nodes for each element of the kernel.
  const most = channels === group ? 16 : 64;
  return count <= most ? weightsByPatches(ops, correlation) : weightsByConv(ops, correlation);
}

/** By one product of matrices with what each element of the kernel sees. Copies the input once per element of the kernel. */
export function weightsByPatches<T>(ops: DiffOps<T>, correlation: Correlation<T>): T {
  const { g, sliding, group, filters, channels } = correlation;
  const cotangent = ops.transpose(g, swapped(sliding));
  const inGroup = channels / group;
  const count = product(sliding.kernel);
  const shape = [filters, inGroup, ...sliding.kernel];
  if (group === 1) {
    const rows = ops.reshape(cotangent, [filters, -1]);
    if (isTiling(sliding)) return ops.reshape(ops.gemm(rows, tileRows(ops, correlation)), shape);
    const columns = ops.reshape(tapColumns(ops, correlation), [count * channels, -1]);
    return fromTaps(ops, ops.gemm(rows, columns, { transB: true }), shape);
  }
  const rows = ops.reshape(cotangent, [group, filters / group, -1]);
  return fromTaps(ops, ops.matmul(rows, ops.swapLast(tapColumns(ops, correlation), 3)), shape);
}

/** `[filters, kernel · channels / group]`, whatever the rank, to `[filters, channels / group, …kernel]`. */
function fromTaps<T>(ops: DiffOps<T>, byTap: T, shape: readonly number[]): T {
  const [filters, channels, ...kernel] = shape;
  const count = product(kernel);
  if (count === 1 || channels === 1) return ops.reshape(byTap, shape);
  return ops.reshape(ops.transpose(ops.reshape(byTap, [filters!, count, channels!]), [0, 2, 1]), shape);
}

/** `[group, kernel · channels / group, batch · outputs]` from slices of the padded input. */
function tapColumns<T>(ops: DiffOps<T>, { x, sliding, group, channels }: Correlation<T>): T {
  const padded = padSpatial(ops, ops.transpose(x, swapped(sliding)), sliding.before, sliding.after);
  const parts = taps(ops, padded, sliding).map((tap) => ops.reshape(tap, [group, channels / group, -1]));
  return ops.concat(parts, 1);
}

/** `[batch · outputs, channels · kernel]` from an input that the windows tile. */
function tileRows<T>(ops: DiffOps<T>, { x, sliding, channels }: Correlation<T>): T {
  const axes = range(sliding.kernel.length);
  const order = [0, ...axes.map((i) => 2 * i + 2), 1, ...axes.map((i) => 2 * i + 3)];
  const tiles = ops.transpose(splitTiles(ops, x, sliding), order);
  return ops.reshape(tiles, [-1, channels * product(sliding.kernel)]);
}

/** Whether windows lie side by side and leave nothing between them: what they see is then the input in another order. */
function isTiling({ kernel, strides, dilations, before, after, rest }: Sliding): boolean {
  const along = (size: number, i: number): boolean =>
    size === strides[i] && (size === 1 || dilations[i] === 1) && rest[i] !== undefined;
  return product(kernel) > 1 && kernel.every(along) && [...before, ...after].every((amount) => amount === 0);
}

/** A tiled input `[batch, channels, …spatial]` as `[batch, channels, output, kernel, output, kernel, …]`. */
function splitTiles<T>(ops: DiffOps<T>, x: T, { kernel, rest }: Sliding): T {
  const axes = range(kernel.length).filter((i) => rest[i]! > 0);
  const seen = axes.reduce((cut, i) => ops.slice(cut, i + 2, 0, -rest[i]!), x);
  const split = kernel.flatMap((size, i) => {
    const whole = sizeAt(ops, seen, i + 2);
    // Only where tiles have one element is the size not known.
    return [typeof whole === "number" ? whole / size : whole, size];
  });
  return reshapeTo(ops, seen, [sizeAt(ops, x, 0), sizeAt(ops, x, 1), ...split]);
}

/**
 * By a convolution in which batch and channels change places, and strides and dilations too. Groups stay groups: group j
 * has the batch of its own channels as channels.
 */
export function weightsByConv<T>(ops: DiffOps<T>, { x, g, sliding, group, channels }: Correlation<T>): T {
  const { kernel, strides, dilations, before, after } = sliding;
  const whole = ops.call(
    "Conv",
    [batchAsChannels(ops, x, sliding, group, channels), ops.transpose(g, swapped(sliding))],
    {
      strides: ints(dilations),
      dilations: ints(strides),
      pads: ints([...before, ...after]),
      group: int(group),
    },
  );
  // Elements that no window sees make the result larger than the kernel.
  const axes = range(kernel.length).filter((i) => sliding.rest[i] !== 0);
  const cut = axes.reduce((weights, i) => ops.slice(weights, i + 2, 0, kernel[i]), whole);
  return ops.transpose(cut, swapped(sliding));
}

/** `[batch, channels, …]` as `[channels / group, group · batch, …]`. */
function batchAsChannels<T>(ops: DiffOps<T>, x: T, sliding: Sliding, group: number, channels: number): T {
  if (group === 1) return ops.transpose(x, swapped(sliding));
  const spatial = sliding.kernel.map((_, i) => sizeAt(ops, x, i + 2));
  const inGroup = channels / group;
  const batch = sizeAt(ops, x, 0);
  const split = reshapeTo(ops, x, [batch, group, inGroup, ...spatial]);
  const moved = ops.transpose(split, [2, 1, 0, ...spatial.map((_, i) => i + 3)]);
  const together = typeof batch === "number" ? group * batch : ops.mul(batch, ops.int64([group]));
  return reshapeTo(ops, moved, [inGroup, together, ...spatial]);
}

/** The permutation that swaps the first two axes. */
const swapped = ({ kernel }: Sliding): readonly number[] => [1, 0, ...kernel.map((_, i) => i + 2)];
