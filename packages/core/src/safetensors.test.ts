import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { DgateError } from "./errors.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsDtype,
  type SafetensorsEntry,
} from "./safetensors.ts";

const widths: Record<string, number> = { U8: 1, F16: 2, F32: 4, I64: 8 };

const entries: fc.Arbitrary<SafetensorsEntry> = fc
  .record({
    dtype: fc.constantFrom<SafetensorsDtype>("U8", "F16", "F32", "I64"),
    shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
    fill: fc.nat(255),
  })
  .map(({ dtype, shape, fill }) => ({
    dtype,
    shape,
    bytes: new Uint8Array(shape.reduce((a, b) => a * b, 1) * widths[dtype]!).fill(fill),
  }));

/** A file with this header and this much data. */
function fileOf(header: unknown, dataBytes = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

/** All that is in some tensors as text, in order of their names. */
function printed(tensors: ReadonlyMap<string, SafetensorsEntry>): string {
  const lines = [...tensors].map(([name, { dtype, shape, bytes }]) =>
    JSON.stringify([name, dtype, shape, [...bytes]]),
  );
  return lines.sort().join("\n");
}

/** How many tensors a file has, or the code of the error that reading it gives. */
function outcomeOf(file: Uint8Array): string {
  try {
    return `${decodeSafetensors(file).tensors.size} tensors`;
  } catch (error) {
    return error instanceof DgateError ? error.code : String(error);
  }
}

describe("safetensors", () => {
  test("what is written is read", () => {
    const names = fc.string({ unit: "binary" }).filter((name) => name !== "__metadata__");
    const texts = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 });
    fc.assert(
      fc.property(fc.array(fc.tuple(names, entries), { maxLength: 5 }), texts, (pairs, metadata) => {
        const tensors = new Map(pairs);
        const back = decodeSafetensors(encodeSafetensors(tensors, metadata));
        expect(new Map(Object.entries(back.metadata))).toEqual(new Map(Object.entries(metadata)));
        expect(printed(back.tensors)).toBe(printed(tensors));
      }),
    );
  });

  test("the bytes are those of the format", () => {
    const entry: SafetensorsEntry = { dtype: "F32", shape: [1], bytes: new Uint8Array([0, 0, 128, 63]) };
    const file = encodeSafetensors(new Map([["w", entry]]));
    const json = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.padEnd(56);
    expect([...file]).toEqual([56, 0, 0, 0, 0, 0, 0, 0, ...new TextEncoder().encode(json), 0, 0, 128, 63]);
  });

  test("every tensor is aligned to its element", () => {
    const file = encodeSafetensors(
      new Map<string, SafetensorsEntry>([
        ["odd", { dtype: "U8", shape: [3], bytes: new Uint8Array(3) }],
        ["wide", { dtype: "F64", shape: [2], bytes: new Uint8Array(16) }],
        ["mid", { dtype: "F32", shape: [1], bytes: new Uint8Array(4) }],
      ]),
    );
    const { tensors } = decodeSafetensors(file);
    expect(tensors.get("wide")!.bytes.byteOffset % 8).toBe(0);
    expect(tensors.get("mid")!.bytes.byteOffset % 4).toBe(0);
  });

  const tensor = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  test.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /0 bytes, expected at least 8/],
    [
      "a huge header length",
      new Uint8Array(8).fill(255),
      /claims 18446744073709551615 bytes, the limit is 100000000/,
    ],
    ["a header past the end", new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0, 1]), /claims 9 bytes, only 1 follow/],
    ["a header that is no JSON", fileOf("{"), /header is not JSON/],
    ["a header that is no UTF-8", Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 0, 255]), /header is not JSON/],
    ["a header that nests without end", fileOf("[".repeat(200_000)), /header is not JSON/],
    ["a header that is a list", fileOf([]), /not an object/],
    ["an unknown dtype", fileOf({ w: { ...tensor, dtype: "toString" } }, 8), /unknown dtype "toString"/],
    ["a negative size", fileOf({ w: { ...tensor, shape: [-2] } }, 8), /shape \[-2\]/],
    [
      "a size too large to count",
      fileOf({ w: { ...tensor, shape: [2 ** 40, 2 ** 40] } }, 8),
      /expected whole numbers/,
    ],
    ["no shape", fileOf({ w: { dtype: "F32", data_offsets: [0, 8] } }, 8), /shape undefined/],
    ["offsets past the end", fileOf({ w: tensor }, 7), /ends at byte 8 of 7/],
    [
      "offsets that do not fit the shape",
      fileOf({ w: { ...tensor, shape: [1] } }, 8),
      /has 8 bytes, .* need 4/,
    ],
    [
      "offsets the wrong way round",
      fileOf({ w: { ...tensor, data_offsets: [8, 0] } }, 8),
      /data_offsets \[8,0\]/,
    ],
    [
      "overlapping tensors",
      fileOf({ a: tensor, b: tensor }, 8),
      /begins at byte 0, the one before ends at 8/,
    ],
    ["a hole", fileOf({ a: { ...tensor, data_offsets: [4, 12] } }, 12), /begins at byte 4/],
    ["data of no tensor", fileOf({ a: tensor }, 9), /cover 8 of 9 bytes/],
    ["metadata that is no text", fileOf({ __metadata__: { a: 1 } }), /__metadata__\.a is not a string/],
  ])("refuses %s", (_, file, message) => {
    expect(() => decodeSafetensors(file)).toThrow(DgateError);
    expect(() => decodeSafetensors(file)).toThrow(message);
  });

  test("a hostile name or key stays a plain name", () => {
    const file = fileOf(
      '{"__metadata__":{"__proto__":"x"},"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
    );
    const { tensors, metadata } = decodeSafetensors(file);
    expect([...tensors.keys()]).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(metadata)).toBe(Object.prototype);
    expect(Object.entries(metadata)).toEqual([["__proto__", "x"]]);
  });

  test("cutting or flipping bytes gives a typed error or a file that still holds together", () => {
    const file = encodeSafetensors(
      new Map<string, SafetensorsEntry>([
        ["a", { dtype: "F32", shape: [2, 2], bytes: new Uint8Array(16) }],
        ["b", { dtype: "U8", shape: [3], bytes: new Uint8Array(3) }],
      ]),
      { step: "12" },
    );
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
        const outcome = outcomeOf(cut ? file.slice(0, at) : file.with(at, value));
        expect(cut ? ["FORMAT"] : ["FORMAT", "2 tensors"]).toContain(outcome);
      }),
      { numRuns: 500 },
    );
  });

  test("a tensor whose bytes do not fit its shape is not written", () => {
    const bad: SafetensorsEntry = { dtype: "F32", shape: [2], bytes: new Uint8Array(4) };
    expect(() => encodeSafetensors(new Map([["w", bad]]))).toThrow(
      /"w" is F32 of shape \[2\], 8 bytes, but has 4/,
    );
    expect(() => encodeSafetensors(new Map([["__metadata__", bad]]))).toThrow(/cannot be the name/);
  });
});
