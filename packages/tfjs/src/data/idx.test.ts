import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { imagesFromIdx, parseIdx } from "./idx.ts";

/** An idx file as written by hand: type byte, sizes, then the values' bytes. */
function idx(type: number, shape: readonly number[], content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + content.length);
  bytes.set([0, 0, type, shape.length]);
  const view = new DataView(bytes.buffer);
  shape.forEach((size, axis) => view.setUint32(4 + 4 * axis, size));
  bytes.set(content, 4 + 4 * shape.length);
  return bytes;
}

const errorOf = (work: () => unknown): DgateError => {
  try {
    work();
  } catch (error) {
    if (error instanceof DgateError) return error;
  }
  throw new Error("expected a DgateError");
};

describe("parseIdx", () => {
  test("reads shape and bytes", () => {
    const { shape, data } = parseIdx(idx(8, [2, 3], Uint8Array.of(1, 2, 3, 4, 5, 255)));
    expect(shape).toEqual([2, 3]);
    expect([...data]).toEqual([1, 2, 3, 4, 5, 255]);
  });

  test("reads big-endian int16, int32, float32 and float64", () => {
    const content = new DataView(new ArrayBuffer(8));
    content.setInt16(0, -300);
    expect([...parseIdx(idx(11, [1], new Uint8Array(content.buffer, 0, 2))).data]).toEqual([-300]);
    content.setInt32(0, -70_000);
    expect([...parseIdx(idx(12, [1], new Uint8Array(content.buffer, 0, 4))).data]).toEqual([-70_000]);
    content.setFloat32(0, 0.5);
    expect([...parseIdx(idx(13, [1], new Uint8Array(content.buffer, 0, 4))).data]).toEqual([0.5]);
    content.setFloat64(0, 0.1);
    expect([...parseIdx(idx(14, [1], new Uint8Array(content.buffer, 0, 8))).data]).toEqual([0.1]);
  });

  test("a file cut at any byte is a FORMAT error that names expected and found bytes", () => {
    const whole = idx(8, [4, 5, 5], new Uint8Array(100));
    fc.assert(
      fc.property(fc.integer({ min: 4, max: whole.length - 1 }), (length) => {
        const error = errorOf(() => parseIdx(whole.subarray(0, length), "train.idx"));
        expect(error.code).toBe("FORMAT");
        expect(error.message).toContain("train.idx: truncated");
        expect(error.message).toContain(`found ${length}`);
      }),
    );
    expect(errorOf(() => parseIdx(whole.subarray(0, 60))).message).toContain("takes 116 bytes");
  });

  test("other content is refused before anything is allocated", () => {
    expect(errorOf(() => parseIdx(Uint8Array.of(0x1f, 0x8b, 8, 0))).message).toContain("1f 8b 08 00");
    expect(errorOf(() => parseIdx(new Uint8Array(0))).code).toBe("FORMAT");
    expect(errorOf(() => parseIdx(Uint8Array.of(0, 0, 8, 200))).message).toContain("rank 200");
    const huge = idx(14, [0xffffffff, 0xffffffff], new Uint8Array(8));
    expect(errorOf(() => parseIdx(huge)).message).toContain("truncated");
  });
});

const labels = (...values: number[]) => parseIdx(idx(8, [values.length], Uint8Array.from(values)));

describe("imagesFromIdx", () => {
  const images = parseIdx(idx(8, [2, 1, 2], Uint8Array.of(0, 255, 51, 102)));

  test("scales pixels to [0, 1]", () => {
    const set = imagesFromIdx(images, parseIdx(idx(8, [2], Uint8Array.of(3, 9))));
    expect([...set.images]).toEqual([0, 1, Math.fround(0.2), Math.fround(0.4)]);
    expect([...set.labels]).toEqual([3, 9]);
    expect(set).toMatchObject({ count: 2, height: 1, width: 2, channels: 1, classes: 10 });
  });

  test("labels of another length, too large labels and swapped files are refused", () => {
    expect(errorOf(() => imagesFromIdx(images, labels(1, 2, 3))).code).toBe("SHAPE");
    expect(errorOf(() => imagesFromIdx(images, labels(1, 10))).message).toContain("label 10 at 1");
    expect(errorOf(() => imagesFromIdx(labels(1, 2), images)).message).toContain("rank 3");
  });
});
