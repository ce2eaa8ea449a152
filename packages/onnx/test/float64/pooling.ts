import type { Call, Kernel } from "./call.ts";
import { type Float64Tensor, sizeOf, stridesOf } from "./tensor.ts";
import { inPadding, slidingWindow, type Window, windowSizes, windowTable } from "./window.ts";

/** What a pooling walks over: `channels` planes of `size` positions, `taps` of them under each of `places` windows. */
interface Pool {
  readonly x: Float64Tensor;
  readonly window: Window;
  readonly table: Int32Array;
  readonly channels: number;
  readonly size: number;
  readonly taps: number;
  readonly places: number;
}

function poolOf(call: Call): Pool {
  const x = call.input(0);
  const kernel = call.ints("kernel_shape") ?? call.fail("kernel_shape is missing");
  const window = slidingWindow(call, kernel, x.shape.slice(2));
  const [taps, places] = windowSizes(window);
  const channels = sizeOf(x.shape.slice(0, 2));
  return { x, window, table: windowTable(window), channels, size: sizeOf(window.input), taps, places };
}

const outputShape = ({ x, window }: Pool): number[] => [...x.shape.slice(0, 2), ...window.output];

/** Σ f(x) under each window. */
function sums(pool: Pool, f: (x: number) => number): Float64Array {
  const { x, table, channels, size, taps, places } = pool;
  const out = new Float64Array(channels * places);
  for (let channel = 0; channel < channels; channel++) {
    for (let tap = 0; tap < taps; tap++) {
      for (let place = 0; place < places; place++) {
        const at = table[tap * places + place]!;
        if (at >= 0) out[channel * places + place]! += f(x.data[channel * size + at]!);
      }
    }
  }
  return out;
}

function averagePool(call: Call): Float64Tensor {
  const pool = poolOf(call);
  // Padding counts if asked for, but never what ceil_mode adds behind it.
  const least = call.int("count_include_pad", 0) === 0 ? 0 : inPadding;
  const counts = new Float64Array(pool.places);
  pool.table.forEach((at, i) => {
    if (at >= least) counts[i % pool.places]! += 1;
  });
  const data = sums(pool, (x) => x).map((sum, i) => sum / counts[i % pool.places]!);
  return { dtype: pool.x.dtype, shape: outputShape(pool), data };
}

function lpPool(call: Call): Float64Tensor {
  const pool = poolOf(call);
  const p = call.int("p", 2);
  const data = sums(pool, (x) => Math.abs(x) ** p).map((sum) => sum ** (1 / p));
  return { dtype: pool.x.dtype, shape: outputShape(pool), data };
}

/** The largest element under each window, and its index in the flat input (the first of equals). */
function maxPool(call: Call): Float64Tensor[] {
  const pool = poolOf(call);
  const { x, table, channels, size, taps, places } = pool;
  const data = new Float64Array(channels * places).fill(-Infinity);
  const indices = new Float64Array(channels * places);
  const order = call.int("storage_order", 0) === 0 ? undefined : columnMajor(pool.window.input);
  for (let channel = 0; channel < channels; channel++) {
    for (let tap = 0; tap < taps; tap++) {
      for (let place = 0; place < places; place++) {
        const at = table[tap * places + place]!;
        if (at < 0) continue;
        const value = x.data[channel * size + at]!;
        const to = channel * places + place;
        if (value <= data[to]!) continue;
        data[to] = value;
        indices[to] = channel * size + (order ? order[at]! : at);
      }
    }
  }
  const shape = outputShape(pool);
  return [
    { dtype: x.dtype, shape, data },
    { dtype: "int64", shape, data: indices },
  ];
}

/** For each row-major position, its index when the first axis runs fastest. */
function columnMajor(shape: readonly number[]): Float64Array {
  const strides = stridesOf(shape);
  return Float64Array.from({ length: sizeOf(shape) }, (_, at) => {
    let index = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--)
      index = index * shape[axis]! + (Math.floor(at / strides[axis]!) % shape[axis]!);
    return index;
  });
}

/** Poolings under a window. */
export const poolingKernels: { readonly [op: string]: Kernel } = {
  AveragePool: averagePool,
  LpPool: lpPool,
  MaxPool: maxPool,
};
