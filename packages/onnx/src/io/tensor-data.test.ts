import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { elementCount } from "./element-types.ts";
import {
  gatherTensor,
  readNumbers,
  readStrings,
  sliceTensor,
  tensorOf,
  transposeTensor,
} from "./tensor-data.ts";

const numeric: readonly DataType[] = [
  "float32",
  "uint8",
  "int8",
  "uint16",
  "int16",
  "int32",
  "int64",
  "bool",
  "float16",
  "float64",
  "uint32",
  "uint64",
  "bfloat16",
  "uint4",
  "int4",
  "uint2",
  "int2",
];

/** Values 0 and 1 fit every numeric type. */
const binaryTensor = fc
  .record({ dtype: fc.constantFrom(...numeric), shape: fc.array(fc.nat({ max: 4 }), { maxLength: 4 }) })
  .chain(({ dtype, shape }) => {
    const count = elementCount(shape);
    return fc
      .array(fc.nat({ max: 1 }), { minLength: count, maxLength: count })
      .map((values) => ({ tensor: tensorOf(dtype, shape, values), values }));
  });

const int64 = (...values: bigint[]): Tensor => ({
  dtype: "int64",
  shape: [values.length],
  bytes: new Uint8Array(BigInt64Array.from(values).buffer),
});

const read = (dtype: DataType, ...codes: number[]): number[] => [
  ...readNumbers({ dtype, shape: [codes.length], bytes: Uint8Array.from(codes) }),
];

test("readNumbers gives back what tensorOf took, for every numeric type", () => {
  fc.assert(
    fc.property(binaryTensor, ({ tensor, values }) => {
      expect([...readNumbers(tensor)]).toEqual(values);
    }),
  );
});

test("extremes of each integer type survive", () => {
  const extremes: [DataType, number[]][] = [
    ["int8", [-128, 127]],
    ["uint8", [0, 255]],
    ["int16", [-32768, 32767]],
    ["uint16", [0, 65535]],
    ["int32", [-2147483648, 2147483647]],
    ["uint32", [0, 4294967295]],
    ["int64", [-9007199254740991, 9007199254740991]],
    ["uint64", [0, 9007199254740991]],
    ["int4", [-8, 7]],
    ["uint4", [0, 15]],
    ["int2", [-2, 1]],
    ["uint2", [0, 3]],
  ];
  for (const [dtype, values] of extremes) {
    expect([...readNumbers(tensorOf(dtype, [2], values))]).toEqual(values);
    expect(() => tensorOf(dtype, [1], [values[1]! + 1])).toThrow(DgateError);
    expect(() => tensorOf(dtype, [1], [0.5])).toThrow(/holds integers/);
  }
});

test("content that is not aligned in its buffer is read all the same", () => {
  const { bytes } = tensorOf("float64", [2], [Math.PI, -1e300]);
  const shifted = new Uint8Array(17);
  shifted.set(bytes, 1);
  expect([...readNumbers({ dtype: "float64", shape: [2], bytes: shifted.subarray(1) })]).toEqual([
    Math.PI,
    -1e300,
  ]);
});

describe("64-bit integers", () => {
  test("the end markers become the largest safe integers", () => {
    expect([...readNumbers(int64(2n ** 63n - 1n, -(2n ** 63n)))]).toEqual([
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ]);
  });

  test("any other value past 2^53 is refused", () => {
    expect(() => readNumbers(int64(2n ** 53n + 1n))).toThrow(/beyond ±2\^53/);
  });
});

describe("narrow floats", () => {
  test("float16 rounds to nearest, ties to even, with subnormals and overflow", () => {
    const cases: [number, number][] = [
      [1, 1],
      [1 + 2 ** -11, 1],
      [1 + 3 * 2 ** -11, 1 + 2 ** -9],
      [65504, 65504],
      [65519, 65504],
      [65520, Infinity],
      [2 ** -24, 2 ** -24],
      [2 ** -25, 0],
      [3 * 2 ** -26, 2 ** -24],
      [-0, -0],
      [-Infinity, -Infinity],
      [Number.NaN, Number.NaN],
    ];
    for (const dtype of ["float16"] as const) {
      const got = readNumbers(
        tensorOf(
          dtype,
          [cases.length],
          cases.map(([value]) => value),
        ),
      );
      expect([...got]).toEqual(cases.map(([, rounded]) => rounded));
    }
  });

  test("every float16 and bfloat16 code survives decoding and encoding", () => {
    for (const dtype of ["float16", "bfloat16"] as const) {
      const codes = Uint16Array.from({ length: 65536 }, (_, i) => i);
      const tensor: Tensor = { dtype, shape: [65536], bytes: new Uint8Array(codes.buffer) };
      const numbers = readNumbers(tensor);
      const again = new Uint16Array(tensorOf(dtype, [65536], numbers).bytes.slice().buffer);
      const changed = codes.filter((code, i) => !Number.isNaN(numbers[i]) && again[i] !== code);
      expect([...changed]).toEqual([]);
    }
  });

  test("bfloat16 is the upper half of a float32", () => {
    const upper = Uint16Array.from([0x3f80, 0xc049, 0x7f7f, 0x0001]);
    const words = Uint32Array.from(upper, (half) => (half << 16) >>> 0);
    const got = readNumbers({ dtype: "bfloat16", shape: [4], bytes: new Uint8Array(upper.buffer) });
    expect([...got]).toEqual([...new Float32Array(words.buffer)]);
  });

  test("the 8- and 4-bit formats have their published extremes", () => {
    expect(read("float8e4m3fn", 0x7e, 0x01, 0x7f, 0x80)).toEqual([448, 2 ** -9, Number.NaN, -0]);
    expect(read("float8e4m3fnuz", 0x7f, 0x01, 0x80)).toEqual([240, 2 ** -10, Number.NaN]);
    expect(read("float8e5m2", 0x7b, 0x01, 0x7c, 0x7d)).toEqual([57344, 2 ** -16, Infinity, Number.NaN]);
    expect(read("float8e5m2fnuz", 0x7f, 0x01, 0x80)).toEqual([57344, 2 ** -17, Number.NaN]);
    expect(read("float8e8m0", 127, 0, 254, 255)).toEqual([1, 2 ** -127, 2 ** 127, Number.NaN]);
    const fours = { dtype: "float4e2m1", shape: [8], bytes: Uint8Array.of(0x10, 0x32, 0x54, 0x76) } as const;
    expect([...readNumbers(fours)]).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6]);
  });
});

test("gathering all slices in order changes nothing, and gathering composes", () => {
  fc.assert(
    fc.property(
      binaryTensor.filter(({ tensor }) => tensor.shape.length > 0),
      fc.nat(),
      fc.array(fc.nat(), { maxLength: 5 }),
      ({ tensor }, axisSeed, seeds) => {
        const axis = axisSeed % tensor.shape.length;
        const size = tensor.shape[axis]!;
        const all = Array.from({ length: size }, (_, i) => i);
        expect(gatherTensor(tensor, axis, all)).toEqual(tensor);
        if (size === 0) return;
        const indices = seeds.map((seed) => seed % size);
        const byOne = gatherTensor(gatherTensor(tensor, axis, all.toReversed()), axis, indices);
        expect(byOne).toEqual(
          gatherTensor(
            tensor,
            axis,
            indices.map((i) => size - 1 - i),
          ),
        );
      },
    ),
  );
});

test("gather and slice take the named rows and columns", () => {
  const tensor = tensorOf("int32", [2, 3], [1, 2, 3, 4, 5, 6]);
  expect([...readNumbers(gatherTensor(tensor, 1, [2, 0]))]).toEqual([3, 1, 6, 4]);
  expect([...readNumbers(sliceTensor(tensor, 1, 1, 3))]).toEqual([2, 3, 5, 6]);
  expect([...readNumbers(sliceTensor(tensor, 0, 1, 2))]).toEqual([4, 5, 6]);
  expect(sliceTensor(tensor, 0, 1, 1).shape).toEqual([0, 3]);
});

test("transposing by a permutation and its inverse changes nothing, and moves element [i, j, k] to [k, i, j]", () => {
  const tensor = tensorOf(
    "int16",
    [2, 3, 4],
    Array.from({ length: 24 }, (_, i) => i),
  );
  const moved = transposeTensor(tensor, [2, 0, 1]);
  expect(moved.shape).toEqual([4, 2, 3]);
  expect(readNumbers(moved)[1 * 6 + 1 * 3 + 2]).toBe(1 * 12 + 2 * 4 + 1);
  expect(transposeTensor(moved, [1, 2, 0])).toEqual(tensor);
  fc.assert(
    fc.property(binaryTensor, ({ tensor: any }) => {
      expect(transposeTensor(transposeTensor(any))).toEqual(any);
    }),
  );
});

test("string tensors are gathered, transposed and read as texts", () => {
  const words = tensorOf("string", [2, 2], ["a", "b", "ç", "d"]);
  expect(readStrings(gatherTensor(words, 0, [1]))).toEqual(["ç", "d"]);
  expect(readStrings(transposeTensor(words))).toEqual(["a", "ç", "b", "d"]);
});

describe("wrong use", () => {
  const tensor = tensorOf("float32", [2, 2], [1, 2, 3, 4]);
  test.each([
    ["count", () => tensorOf("float32", [3], [1]), /needs 3 values, got 1/],
    ["negative size", () => tensorOf("float32", [-1], []), /integer ≥ 0/],
    ["axis", () => gatherTensor(tensor, 2, [0]), /axis 2 is not one of the 2 axes/],
    ["index", () => gatherTensor(tensor, 0, [2]), /index 2 is not one/],
    ["range", () => sliceTensor(tensor, 0, 1, 3), /is no range of axis 0/],
    ["permutation", () => transposeTensor(tensor, [0, 0]), /no permutation/],
    [
      "content",
      () => readNumbers({ ...tensor, bytes: tensor.bytes.subarray(1) }),
      /needs 16 bytes of content, got 15/,
    ],
    [
      "complex",
      () => readNumbers({ dtype: "complex64", shape: [], bytes: new Uint8Array(8) }),
      /no plain numbers/,
    ],
    ["float8", () => tensorOf("float8e5m2", [1], [1]), /not made from numbers/],
  ])("%s is refused with the numbers in the message", (_, call, message) => {
    expect(call).toThrow(message);
  });
});
