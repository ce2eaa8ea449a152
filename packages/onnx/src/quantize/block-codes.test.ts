import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { unpackRows } from "../quantization/quantization.ts";
import { blockCodes, type BlockFormat } from "./block-codes.ts";

const formats = fc.record<BlockFormat>({
  bits: fc.constantFrom(4, 8),
  blockSize: fc.constantFrom(16, 32),
  symmetric: fc.boolean(),
});

const weight = fc.oneof(
  fc.float({ min: Math.fround(-2), max: 2, noNaN: true }),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, 1, -1, 8, -8),
);

const matrices = fc
  .record({ rows: fc.integer({ min: 1, max: 3 }), depth: fc.integer({ min: 1, max: 70 }) })
  .chain((shape) => {
    const count = shape.rows * shape.depth;
    return fc
      .array(weight, { minLength: count, maxLength: count })
      .map((list) => ({ ...shape, numbers: Float32Array.from(list) }));
  });

/** Codes, zero points and scales of each weight, and the codes of the filling. */
function unpacked(
  { rows, depth, numbers }: { rows: number; depth: number; numbers: Float32Array },
  format: BlockFormat,
) {
  const { bits, blockSize } = format;
  const blocks = Math.ceil(depth / blockSize);
  const { packed, scales, zeroPoints } = blockCodes(numbers, rows, depth, format, "w");
  const codes = unpackRows(packed, bits, rows, blocks * blockSize);
  const zeros = zeroPoints && unpackRows(zeroPoints, bits, rows, blocks);
  return Array.from({ length: rows * blocks * blockSize }, (_, i) => {
    const [row, column] = [Math.floor(i / (blocks * blockSize)), i % (blocks * blockSize)];
    const block = row * blocks + Math.floor(column / blockSize);
    const number = column < depth ? numbers[row * depth + column]! : 0;
    return { number, code: codes[i]!, zero: zeros?.[block] ?? 2 ** (bits - 1), scale: scales[block]! };
  });
}

const size = ({ number }: { readonly number: number }): number => Math.abs(number);

describe("codes in blocks", () => {
  test("a weight is at most half a step from what its code means, a whole one beyond the last symmetric code", () => {
    fc.assert(
      fc.property(matrices, formats, (matrix, format) => {
        for (const { number, code, zero, scale } of unpacked(matrix, format)) {
          const highest = 2 ** format.bits - 1;
          const beyond = format.symmetric && number / scale + zero > highest;
          const error = Math.abs(number - (code - zero) * scale);
          expect(error).toBeLessThanOrEqual(Math.abs(scale) * (beyond ? 1 : 0.5) * (1 + 2 ** -12));
          expect(!beyond || code === highest).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("zero, and what fills the last block, is exactly zero; no scale is 0", () => {
    fc.assert(
      fc.property(matrices, formats, (matrix, format) => {
        for (const { number, code, zero, scale } of unpacked(matrix, format)) {
          expect(number !== 0 || code === zero).toBe(true);
          expect(scale !== 0 && Number.isFinite(scale)).toBe(true);
        }
      }),
    );
  });

  test("the weight of largest size is exact in a symmetric block", () => {
    fc.assert(
      fc.property(matrices, (matrix) => {
        const all = unpacked(matrix, { bits: 4, blockSize: 16, symmetric: true });
        for (let start = 0; start < all.length; start += 16) {
          const block = all.slice(start, start + 16);
          const [largest] = block.toSorted((a, b) => size(b) - size(a) || a.number - b.number);
          const { number, code, zero, scale } = largest!;
          // Below, a scale has no room left.
          const exact = Math.fround((code - zero) * scale) === number;
          expect(exact || Math.abs(number) < 2 ** -120).toBe(true);
        }
      }),
    );
  });

  test.each([Number.NaN, Infinity, -Infinity])("%s is refused by the name of its tensor", (bad) => {
    const format: BlockFormat = { bits: 4, blockSize: 16, symmetric: true };
    expect(() => blockCodes(Float32Array.of(1, bad), 1, 2, format, "fc1/kernel")).toThrow(
      expect.objectContaining({ code: "DATA", message: expect.stringContaining("fc1/kernel") }),
    );
  });
});
