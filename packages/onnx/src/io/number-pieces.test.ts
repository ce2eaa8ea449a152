import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { type DataType, dataTypes } from "../graph/tensor.ts";
import { byteLengthOf } from "./element-types.ts";
import { numberPieces } from "./number-pieces.ts";
import { readNumbers } from "./tensor-data.ts";

const plain = (Object.keys(dataTypes) as DataType[]).filter(
  (dtype) => dtype !== "string" && !dtype.startsWith("complex"),
);

test("the pieces of a tensor are its numbers, for every type, length and place in memory", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...plain),
      fc.constantFrom(0, 1, 7, 2 ** 16, 2 ** 16 + 5),
      fc.integer({ min: 0, max: 3 }),
      (dtype, count, offset) => {
        // Codes that are small positive numbers in every type, 64-bit integers included.
        const whole = new Uint8Array(byteLengthOf(dtype, [count]) + offset);
        for (let i = offset; i < whole.length; i += 8) whole[i] = i % 100;
        const tensor = { dtype, shape: [count], bytes: whole.subarray(offset) };
        const expected = readNumbers(tensor);
        let at = 0;
        for (const piece of numberPieces(tensor)) {
          // One comparison a piece: element-wise matchers are slow over so many.
          const same = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).equals(
            Buffer.from(expected.buffer, at * expected.BYTES_PER_ELEMENT, piece.byteLength),
          );
          expect(same).toBe(true);
          at += piece.length;
        }
        expect(at).toBe(count);
      },
    ),
    { seed: 5, numRuns: 60 },
  );
});
