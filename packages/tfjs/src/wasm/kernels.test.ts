import { fc } from "@dgate/testing";
import * as tf from "@tensorflow/tfjs";
import { version_wasm as wasmVersion } from "@tensorflow/tfjs-backend-wasm";
import { beforeAll, describe, expect, test } from "vitest";
import { matMulByTransposing, type Stock } from "./mat-mul.ts";
import { registerWasmKernels } from "./register.ts";
import { runKernel, type WasmBackend } from "./wasm-backend.ts";

const runs = { numRuns: 60 };

/** Tensors of one case are drawn on each backend from the same numbers. */
function values(shape: readonly number[], seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: tf.util.sizeFromShape([...shape]) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

async function on(
  backend: string,
  compute: () => tf.Tensor[],
): Promise<{ shape: number[]; data: number[] }[]> {
  await tf.setBackend(backend);
  const results = tf.tidy(compute);
  const read = results.map((tensor) => ({ shape: tensor.shape, data: [...tensor.dataSync()] }));
  tf.dispose(results);
  return read;
}

/** Computes the same on cpu and wasm and says how the results differ, or that wasm kept memory; else "nothing". */
async function difference(compute: () => tf.Tensor[], tolerance = 2e-5): Promise<string> {
  const expected = await on("cpu", compute);
  await tf.setBackend("wasm");
  const before = tf.engine().backend.numDataIds();
  const actual = await on("wasm", compute);
  const kept = tf.engine().backend.numDataIds() - before;
  if (kept !== 0) return `wasm keeps ${kept} buffers`;
  for (const [index, { shape, data }] of actual.entries()) {
    const wanted = expected[index]!;
    if (!tf.util.arraysEqual(shape, wanted.shape)) return `shape ${shape.join()} for ${wanted.shape.join()}`;
    const scale = wanted.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const wrong = data.findIndex((value, i) => !(Math.abs(value - wanted.data[i]!) <= tolerance * scale));
    if (wrong >= 0) return `result ${index}[${wrong}]: ${data[wrong]} for ${wanted.data[wrong]}`;
  }
  return "nothing";
}

/** A float32 tensor of seeded numbers in [−1, 1). */
function draw<R extends tf.Rank>(shape: tf.ShapeMap[R], seed: number): tf.Tensor<R> {
  return tf.tensor(values(shape, seed), shape);
}

/** `f` and its gradients by both inputs, with the cotangent `0.5 + f/2`. */
function withGradients<A extends tf.Tensor, B extends tf.Tensor>(
  f: (a: A, b: B) => tf.Tensor,
  a: A,
  b: B,
): tf.Tensor[] {
  const out = f(a, b);
  // tfjs hands back the inputs it was given, typed as plain tensors.
  const gradients = tf.grads((x, y) => f(x as A, y as B))([a, b], out.add(1).mul(0.5));
  return [out, ...gradients];
}

type ValueOf<A> = A extends fc.Arbitrary<infer T> ? T : never;

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });

/** Batch axes of two operands that broadcast, with axes of one or missing. */
const batches = fc
  .array(fc.record({ size: size(3), a: fc.boolean(), b: fc.boolean() }), { maxLength: 2 })
  .chain((axes) =>
    fc.record({
      a: fc.constant(axes.map((axis) => (axis.a ? axis.size : 1))),
      b: fc.nat(axes.length).map((dropped) => axes.slice(dropped).map((axis) => (axis.b ? axis.size : 1))),
    }),
  );

const product = fc.record({
  m: fc.oneof(size(13), size(70)),
  n: fc.oneof(size(17), size(70)),
  k: fc.oneof(size(9), size(70), fc.constantFrom(640, 641, 1290)),
  transposeA: fc.boolean(),
  transposeB: fc.boolean(),
  batches,
  seed: fc.nat(),
});

type Product = ValueOf<typeof product>;

function operands({
  m,
  n,
  k,
  transposeA,
  transposeB,
  batches: { a, b },
  seed,
}: Product): [tf.Tensor, tf.Tensor] {
  const left = [...a, ...(transposeA ? [k, m] : [m, k])];
  const right = [...b, ...(transposeB ? [n, k] : [k, n])];
  return [tf.tensor(values(left, seed), left), tf.tensor(values(right, seed + 1), right)];
}

/** The product on operands repeated to the whole batch: tfjs's cpu kernel takes matrix `i mod n` of an operand. */
function reference(a: tf.Tensor, b: tf.Tensor, { transposeA, transposeB }: Product): tf.Tensor {
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const whole = (x: tf.Tensor): tf.Tensor => tf.broadcastTo(x, [...batch, ...x.shape.slice(-2)]);
  return tf.matMul(whole(a), whole(b), transposeA, transposeB);
}

const geometry = fc
  .record({
    batch: size(3),
    height: fc.integer({ min: 3, max: 9 }),
    width: fc.integer({ min: 3, max: 9 }),
    channels: size(4),
    filters: size(5),
    filterHeight: size(3),
    filterWidth: size(3),
    strides: fc.tuple(size(3), size(3)),
    pad: fc.constantFrom("same" as const, "valid" as const, 0, 1, 2),
    seed: fc.nat(),
  })
  // tfjs computes the output shape for a numeric padding from the filter's height and the first stride alone.
  .filter(
    ({ pad, filterHeight, filterWidth, strides }) =>
      typeof pad === "string" ||
      (pad < filterHeight && filterHeight === filterWidth && strides[0] === strides[1]),
  );

type Geometry = ValueOf<typeof geometry>;

const inputOf = (g: Geometry): tf.Tensor4D => draw([g.batch, g.height, g.width, g.channels], g.seed);
const filterOf = (g: Geometry): tf.Tensor4D =>
  draw([g.filterHeight, g.filterWidth, g.channels, g.filters], g.seed + 1);

/** More patches than one round holds. */
const fiveLargeImages = (): tf.Tensor[] =>
  withGradients(
    (x, w) => tf.conv2d(x, w, 1, "same"),
    draw<tf.Rank.R4>([5, 64, 64, 24], 3),
    draw<tf.Rank.R4>([3, 3, 24, 2], 4),
  );

beforeAll(() => {
  registerWasmKernels();
});

describe("matrix products on wasm equal those on cpu", () => {
  test("for all shapes, transpositions and broadcast batches", async () => {
    await fc.assert(
      fc.asyncProperty(product, async (sizes) => {
        const compute = (): tf.Tensor[] => {
          const [a, b] = operands(sizes);
          if (tf.getBackend() === "cpu") return [reference(a, b, sizes)];
          return [tf.matMul(a, b, sizes.transposeA, sizes.transposeB)];
        };
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });

  test("by transposing first, where our own product cannot run", async () => {
    await tf.setBackend("wasm");
    // What of the backend the kernels use is written down in WasmBackend.
    const backend = tf.backend() as unknown as WasmBackend;
    const stock: Stock = (_, inputs, attrs) => {
      expect(attrs).toEqual({ transposeA: false, transposeB: false });
      return runKernel(backend, "BatchMatMul", inputs, attrs);
    };
    await fc.assert(
      fc.asyncProperty(product, async (sizes) => {
        const compute = (): tf.Tensor[] => {
          const [a, b] = operands(sizes);
          if (tf.getBackend() === "cpu") return [reference(a, b, sizes)];
          const out = matMulByTransposing(stock, backend, { a, b }, sizes);
          return [tf.engine().makeTensorFromTensorInfo(out)];
        };
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });

  test("fused with a bias and an activation", async () => {
    const activations = fc.constantFrom<"linear" | "relu" | "elu" | "sigmoid">(
      "linear",
      "relu",
      "elu",
      "sigmoid",
    );
    await fc.assert(
      fc.asyncProperty(product, activations, async (sizes, activation) => {
        const compute = (): tf.Tensor[] => {
          const [a, b] = operands({ ...sizes, batches: { a: [], b: [] } });
          const bias = draw<tf.Rank.R1>([sizes.n], sizes.seed + 2);
          const { transposeA, transposeB } = sizes;
          return [tf.fused.matMul({ a, b, transposeA, transposeB, bias, activation })];
        };
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });

  test("with an inner size of zero: all zeros", async () => {
    expect(await difference(() => [tf.matMul(tf.zeros([3, 0]), tf.zeros([0, 5]))])).toBe("nothing");
  });
});

describe("convolutions and their gradients on wasm equal those on cpu", () => {
  test("conv2d at any stride and padding", async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async (g) => {
        const convolve = (x: tf.Tensor4D, w: tf.Tensor4D): tf.Tensor => tf.conv2d(x, w, g.strides, g.pad);
        expect(await difference(() => withGradients(convolve, inputOf(g), filterOf(g)))).toBe("nothing");
      }),
      runs,
    );
  });

  test("depthwise convolutions with a channel multiplier", async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async (g) => {
        const convolve = (x: tf.Tensor4D, w: tf.Tensor4D): tf.Tensor =>
          tf.depthwiseConv2d(x, w, g.strides[0], g.pad);
        expect(await difference(() => withGradients(convolve, inputOf(g), filterOf(g)))).toBe("nothing");
      }),
      runs,
    );
  });

  test("transposed convolutions", async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async (g) => {
        const [rows, cols] = [g.height * g.strides[0], g.width * g.strides[1]];
        const spread = (x: tf.Tensor4D, w: tf.Tensor4D): tf.Tensor =>
          tf.conv2dTranspose(x, w, [g.batch, rows, cols, g.filters], g.strides, "same");
        const compute = (): tf.Tensor[] =>
          withGradients(spread, inputOf(g), filterOf({ ...g, channels: g.filters, filters: g.channels }));
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });

  test("conv2d of a batch that is taken in several rounds", async () => {
    expect(await difference(fiveLargeImages, 1e-4)).toBe("nothing");
  }, 60_000);

  test("pooling", async () => {
    await fc.assert(
      fc.asyncProperty(geometry, async (g) => {
        const window: [number, number] = [g.filterHeight, g.filterWidth];
        const pad = typeof g.pad === "string" ? g.pad : "same";
        const pooled = (x: tf.Tensor4D, w: tf.Tensor4D): tf.Tensor =>
          tf.concat([tf.maxPool(x, window, g.strides, pad), tf.avgPool(w, window, g.strides, pad)]);
        const compute = (): tf.Tensor[] =>
          withGradients(pooled, inputOf(g), inputOf({ ...g, seed: g.seed + 1 }));
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });
});

describe("gradients that tfjs's wasm backend lacks", () => {
  test("gather: rows add up where indices repeat", async () => {
    const indices = fc.array(fc.nat(5), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(indices, size(4), fc.nat(), async (rows, width, seed) => {
        const picked = (table: tf.Tensor, scale: tf.Tensor): tf.Tensor =>
          tf.gather(table, tf.tensor1d(rows, "int32")).mul(scale);
        const compute = (): tf.Tensor[] =>
          withGradients(picked, draw([6, width], seed), draw([width], seed + 1));
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });

  test("segment ids out of range are left out", async () => {
    const rows = [1, 2, 3, 4, 5, 6];
    const compute = (): tf.Tensor[] => [
      tf.unsortedSegmentSum(tf.tensor2d(rows, [3, 2]), tf.tensor1d([-1, 1, 7], "int32"), 2),
    ];
    expect(await difference(compute)).toBe("nothing");
  });
});

describe("kernels that tfjs's wasm backend has wrong", () => {
  test("oneHot of any type, with indices out of range", async () => {
    const dtypes = fc.constantFrom<"float32" | "int32" | "bool">("float32", "int32", "bool");
    const indices = fc.array(fc.integer({ min: -2, max: 6 }), { minLength: 1, maxLength: 9 });
    await fc.assert(
      fc.asyncProperty(indices, fc.integer({ min: 2, max: 5 }), dtypes, async (rows, depth, dtype) => {
        const compute = (): tf.Tensor[] => [tf.oneHot(tf.tensor1d(rows, "int32"), depth, 1, 0, dtype)];
        expect(await difference(compute)).toBe("nothing");
      }),
      runs,
    );
  });
});

describe("what is refused says so", () => {
  test("matrix products of integers", async () => {
    await tf.setBackend("wasm");
    const ints = tf.tensor2d([1, 2, 3, 4], [2, 2], "int32");
    const attrs = { transposeA: true, transposeB: false };
    expect(() => tf.engine().runKernel("BatchMatMul", { a: ints, b: ints }, attrs)).toThrow(
      "BatchMatMul: a is int32, expected float32",
    );
    ints.dispose();
  });

  test("channels first", async () => {
    await tf.setBackend("wasm");
    const x = draw<tf.Rank.R4>([1, 2, 3, 3], 1);
    const attrs = { strides: 1, pad: "same", dataFormat: "NCHW", filterShape: [1, 1, 2, 2] };
    expect(() => tf.engine().runKernel("Conv2DBackpropFilter", { x, dy: x }, attrs)).toThrow(
      'Build the layer with dataFormat: "channelsLast"',
    );
    x.dispose();
  });

  test("the wasm backend is the copy that belongs to this tfjs", () => {
    expect(wasmVersion).toBe(tf.version_core);
  });

  test("registering twice changes nothing", () => {
    const before = tf.getKernel("BatchMatMul", "wasm").kernelFunc;
    registerWasmKernels();
    expect(tf.getKernel("BatchMatMul", "wasm").kernelFunc).toBe(before);
  });
});
