import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { maxDepth, WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

const safeInteger = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer({ min: -300, max: 300 }),
  fc.constantFrom(
    0,
    127,
    128,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    -1,
    -(2 ** 31),
    -(2 ** 32),
    1 - 2 ** 53,
  ),
);
const fieldNumber = fc.integer({ min: 1, max: 2 ** 29 - 1 });

function written(write: (writer: WireWriter) => void): Uint8Array {
  const writer = new WireWriter();
  write(writer);
  const bytes = writer.finish();
  expect(bytes.length).toBe(writer.length);
  return bytes;
}

function only(bytes: Uint8Array): WireReader {
  const reader = WireReader.of(bytes, "test");
  expect(reader.next()).toBe(true);
  return reader;
}

describe("what is written is read back", () => {
  test("integers under any field number", () => {
    fc.assert(
      fc.property(fieldNumber, safeInteger, (field, value) => {
        const reader = only(written((writer) => writer.integer(field, value)));
        expect([reader.field, reader.integer(), reader.next()]).toEqual([field, value, false]);
      }),
    );
  });

  test("a number is written as the same bigint is", () => {
    fc.assert(
      fc.property(safeInteger, (value) => {
        expect(written((writer) => writer.integer(1, value))).toEqual(
          written((writer) => writer.integer(1, BigInt(value))),
        );
      }),
    );
  });

  test("64-bit integers by halves, packed and single", () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
        fc.boolean(),
        (values, packed) => {
          const bytes = written((writer) => {
            if (packed) writer.packedIntegers(7, values);
            else for (const value of values) writer.integer(7, value);
          });
          const reader = WireReader.of(bytes, "test");
          const got: bigint[] = [];
          while (reader.next()) {
            reader.integers((low, high) => got.push(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low))));
          }
          expect(got).toEqual(values);
        },
      ),
    );
  });

  test("floats, packed floats and texts", () => {
    fc.assert(
      fc.property(
        fc.float(),
        fc.array(fc.float(), { minLength: 1 }),
        fc.string({ unit: "binary" }),
        (x, xs, text) => {
          expect(only(written((writer) => writer.float(3, x))).float()).toBe(x);
          const packed = only(written((writer) => writer.packedFloats(3, xs))).fixed(4);
          expect([...new Float32Array(packed.slice().buffer)]).toEqual(xs);
          expect(only(written((writer) => writer.string(3, text))).string()).toBe(text);
        },
      ),
    );
  });

  test("nested messages and large contents, which are views on the file", () => {
    const large = new Uint8Array(5000).map((_, i) => i);
    const inner = new WireWriter();
    inner.integer(1, 5);
    inner.bytes(2, large);
    inner.string(3, "after");
    const bytes = written((writer) => {
      writer.integer(9, 1);
      writer.message(4, inner);
    });
    const reader = only(bytes);
    reader.next();
    const nested = reader.message("inner");
    nested.next();
    expect(nested.integer()).toBe(5);
    nested.next();
    expect(nested.bytes()).toEqual(large);
    expect(nested.bytes().buffer).toBe(bytes.buffer);
    nested.next();
    expect(nested.string()).toBe("after");
    expect(nested.next()).toBe(false);
  });

  test("raw fields, in order, give the file again", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fieldNumber, fc.oneof(safeInteger, fc.string()))), (fields) => {
        const bytes = written((writer) => {
          for (const [field, value] of fields) {
            if (typeof value === "number") writer.integer(field, value);
            else writer.string(field, value);
          }
        });
        const reader = WireReader.of(bytes, "test");
        const copy = written((writer) => {
          while (reader.next()) writer.raw(reader.raw());
        });
        expect(copy).toEqual(bytes);
      }),
    );
  });
});

function messages(bytes: number[], read: (reader: WireReader) => unknown = () => {}): string {
  const reader = WireReader.of(Uint8Array.from(bytes), "model");
  try {
    while (reader.next()) read(reader);
  } catch (error) {
    if (error instanceof DgateError && error.code === "FORMAT") return error.message;
    throw error;
  }
  return "accepted";
}

describe("malformed bytes are refused with their place", () => {
  test.each([
    [
      "a length past the end",
      [0x0a, 0x05, 1],
      "model: 5 bytes are announced, 1 are left; the file is cut off or damaged (byte 0, field 1).",
    ],
    [
      "a length near 2^64",
      [0x08, 0, 0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
      /announced, 0 are left.*byte 2, field 2/,
    ],
    ["a cut varint", [0x08, 0x80], /a number is cut off \(byte 0, field 1\)/],
    ["a varint of 11 bytes", [0x08, ...Array.from({ length: 10 }, () => 0x80), 0], /more than 10 bytes/],
    ["field number 0", [0x00, 0x00], /field number is not valid/],
    ["a group", [0x0b], /wire type 3 is not used by ONNX/],
    ["a cut fixed32", [0x0d, 1, 2], /4 bytes are announced, 2 are left/],
    ["a cut fixed64", [0x09, 1, 2], /8 bytes are announced, 2 are left/],
  ])("%s", (_, bytes, message) => {
    expect(messages(bytes)).toMatch(message);
  });

  test("a value of another wire type, a number past its limit, a text that is not UTF-8", () => {
    expect(messages([0x08, 1], (reader) => reader.string())).toMatch(/expected wire type 2, got 0/);
    expect(messages([0x08, 9], (reader) => reader.count(8))).toMatch(/number 9 is not within 0 and 8/);
    expect(messages([0x0a, 2, 0xc3, 0x28], (reader) => reader.string())).toMatch(/not valid UTF-8/);
    expect(messages([0x0a, 3, 1, 2, 3], (reader) => reader.fixed(4))).toMatch(
      /no whole count of 4-byte numbers/,
    );
    const large = [0x08, 255, 255, 255, 255, 255, 255, 255, 127];
    expect(messages(large, (reader) => reader.integer())).toMatch(/beyond ±2\^53/);
  });

  test("nesting deeper than the limit", () => {
    let message = new WireWriter();
    for (let i = 0; i <= maxDepth; i++) {
      const outer = new WireWriter();
      outer.message(1, message);
      message = outer;
    }
    const descend = (reader: WireReader): void => {
      if (reader.next()) descend(reader.message("inner"));
    };
    expect(() => descend(WireReader.of(message.finish(), "model"))).toThrow(/nested deeper than 100/);
  });

  test("any bytes are either read or refused as FORMAT", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(typeof messages([...bytes], (reader) => reader.raw())).toBe("string");
      }),
      { numRuns: 2000 },
    );
  });
});
