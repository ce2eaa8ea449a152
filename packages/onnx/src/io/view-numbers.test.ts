import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { dataTypes } from "../graph/tensor.ts";
import { byteLengthOf } from "./element-types.ts";
import { readNumbers } from "./tensor-data.ts";
import { viewNumbers } from "./view-numbers.ts";

const numeric = Object.keys(dataTypes).filter(
  (name) => !["string", "complex64", "complex128", "int64", "uint64"].includes(name),
) as (keyof typeof dataTypes)[]; // keys of dataTypes

test("the numbers are those of readNumbers, aligned or not", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...numeric),
      fc.uint8Array({ minLength: 80, maxLength: 80 }),
      fc.nat(9),
      fc.nat(8),
      (dtype, content, offset, count) => {
        const bytes = content.subarray(offset, offset + byteLengthOf(dtype, [count]));
        const tensor = { dtype, shape: [count], bytes };
        expect(viewNumbers(tensor)).toEqual(readNumbers(tensor));
      },
    ),
    { numRuns: 500 },
  );
});

test("aligned numbers are not copied", () => {
  const numbers = Float32Array.of(1, 2, 3, 4);
  const bytes = new Uint8Array(numbers.buffer);
  expect(viewNumbers({ dtype: "float32", shape: [2], bytes: bytes.subarray(8) }).buffer).toBe(numbers.buffer);
  expect(viewNumbers({ dtype: "float32", shape: [2], bytes: bytes.subarray(3, 11) }).buffer).not.toBe(
    numbers.buffer,
  );
});
