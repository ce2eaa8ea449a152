import type { Call, Kernel } from "./call.ts";
import { type Float64Tensor, sizeOf } from "./tensor.ts";

/** One axis to be resized; `region` is the part of it that tf_crop_and_resize takes, in [0, 1]. */
interface Axis {
  readonly axis: number;
  readonly size: number;
  readonly output: number;
  readonly scale: number;
  readonly region: readonly [start: number, end: number];
}

/** Where position `x` of the output lies on the input axis. */
const coordinates: { readonly [mode: string]: (x: number, axis: Axis) => number } = {
  align_corners: (x, { size, output }) => (output === 1 ? 0 : (x * (size - 1)) / (output - 1)),
  asymmetric: (x, { scale }) => x / scale,
  half_pixel: (x, { scale }) => (x + 0.5) / scale - 0.5,
  half_pixel_symmetric: (x, { size, output, scale }) =>
    (size / 2) * (1 - output / (scale * size)) + (x + 0.5) / scale - 0.5,
  pytorch_half_pixel: (x, { output, scale }) => (output > 1 ? (x + 0.5) / scale - 0.5 : 0),
  tf_crop_and_resize: (x, { size, output, region: [start, end] }) =>
    output > 1
      ? start * (size - 1) + (x * (end - start) * (size - 1)) / (output - 1)
      : 0.5 * (start + end) * (size - 1),
  tf_half_pixel_for_nn: (x, { scale }) => (x + 0.5) / scale,
};

const nearest: { readonly [mode: string]: (x: number) => number } = {
  ceil: Math.ceil,
  floor: Math.floor,
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
};

/** What an output position reads: input positions (some may lie outside) and their weights. */
type Taps = readonly (readonly [at: number, weight: number])[];

/** Weights of the two neighbours. */
function linearTaps(x: number): Taps {
  const first = Math.floor(x);
  return [
    [first, 1 - (x - first)],
    [first + 1, x - first],
  ];
}

/** Weights of four neighbours: Keys' cubic convolution with parameter a. */
function cubicTaps(x: number, a: number): Taps {
  const first = Math.floor(x) - 1;
  return [0, 1, 2, 3].map((i): [number, number] => {
    const t = Math.abs(x - (first + i));
    const weight = t <= 1 ? (a + 2) * t ** 3 - (a + 3) * t ** 2 + 1 : a * (t ** 3 - 5 * t ** 2 + 8 * t - 4);
    return [first + i, weight];
  });
}

function tapsOf(call: Call): (x: number) => Taps {
  const mode = call.string("mode", "nearest");
  if (mode === "linear") return linearTaps;
  if (mode === "cubic") return (x) => cubicTaps(x, call.float("cubic_coeff_a", -0.75));
  const name = call.string("nearest_mode", "round_prefer_floor");
  const round = nearest[name] ?? call.fail(`nearest_mode ${name} is not known`);
  return (x) => [[round(x), 1]];
}

/** The axes to resize, from `sizes` or `scales`. */
function axesOf(call: Call): Axis[] {
  const { shape } = call.input(0);
  const axes = (call.ints("axes") ?? [...shape.keys()]).map((axis) => call.front(axis, shape.length));
  const region = call.numbers(1);
  const sizes = call.inputs[3]?.data.length ? call.numbers(3) : undefined;
  const scales = call.numbers(2) ?? [];
  const policy = call.string("keep_aspect_ratio_policy", "stretch");
  const wanted = axes.map((axis, i) => (sizes ? sizes[i]! / shape[axis]! : scales[i]!));
  const common = policy === "not_larger" ? Math.min(...wanted) : Math.max(...wanted);
  return axes.map((axis, i) => {
    const size = shape[axis]!;
    const scale = sizes && policy !== "stretch" ? common : wanted[i]!;
    const output = !sizes
      ? Math.floor(size * scale)
      : policy === "stretch"
        ? sizes[i]!
        : Math.floor(size * scale + 0.5);
    const start = region?.[i] ?? 0;
    return { axis, size, output, scale, region: [start, region?.[i + axes.length] ?? 1] };
  });
}

/** Interpolates one axis after the other; what tf_crop_and_resize asks for outside of the input is a constant. */
function resize(call: Call): Float64Tensor {
  if (call.int("antialias", 0) !== 0) call.fail("antialias is not implemented");
  const mode = call.string("coordinate_transformation_mode", "half_pixel");
  const coordinate = coordinates[mode] ?? call.fail(`coordinate_transformation_mode ${mode} is not known`);
  const taps = tapsOf(call);
  const excludeOutside = call.int("exclude_outside", 0) !== 0;
  const outside = call.float("extrapolation_value", 0);
  let x = call.input(0);
  for (const axis of axesOf(call)) {
    if (axis.output === axis.size && axis.scale === 1 && mode !== "tf_crop_and_resize") continue;
    const rows = Array.from({ length: axis.output }, (_, i): Taps | undefined => {
      const at = coordinate(i, axis);
      if (mode === "tf_crop_and_resize" && (at < 0 || at > axis.size - 1)) return undefined;
      return inside(taps(at), axis.size, excludeOutside);
    });
    x = interpolated(x, axis.axis, rows, outside);
  }
  return x;
}

/** Positions outside read the border, or have no weight with `exclude`. */
function inside(taps: Taps, size: number, exclude: boolean): Taps {
  const within = exclude ? taps.filter(([at]) => at >= 0 && at < size) : taps;
  const sum = exclude ? within.reduce((total, [, weight]) => total + weight, 0) : 1;
  return within.map(([at, weight]) => [Math.max(0, Math.min(size - 1, at)), weight / sum]);
}

/** `out[…, i, …] = Σ weight · x[…, at, …]` over the taps of row i. */
function interpolated(
  x: Float64Tensor,
  axis: number,
  rows: readonly (Taps | undefined)[],
  outside: number,
): Float64Tensor {
  const size = x.shape[axis]!;
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  const shape = x.shape.map((dim, i) => (i === axis ? rows.length : dim));
  const data = new Float64Array(sizeOf(shape));
  for (let o = 0; o < outer; o++) {
    for (const [i, taps] of rows.entries()) {
      const to = (o * rows.length + i) * inner;
      if (!taps) data.fill(outside, to, to + inner);
      for (const [at, weight] of taps ?? []) {
        const from = (o * size + at) * inner;
        for (let k = 0; k < inner; k++) data[to + k]! += weight * x.data[from + k]!;
      }
    }
  }
  return { dtype: x.dtype, shape, data };
}

/** Resize: nearest, linear and cubic. */
export const resizeKernels: { readonly [op: string]: Kernel } = { Resize: resize };
