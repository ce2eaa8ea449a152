import { expect, test } from "vitest";
import { parseCifar10 } from "./cifar.ts";

function record(label: number, colour: readonly [number, number, number]): Uint8Array {
  const bytes = new Uint8Array(3073);
  bytes[0] = label;
  colour.forEach((value, channel) => bytes.fill(value, 1 + 1024 * channel, 1025 + 1024 * channel));
  return bytes;
}

test("planes become channels-last pixels in [0, 1]", () => {
  const set = parseCifar10(new Uint8Array([...record(7, [255, 51, 0]), ...record(2, [0, 0, 255])]));
  expect(set).toMatchObject({ count: 2, height: 32, width: 32, channels: 3 });
  expect([...set.labels]).toEqual([7, 2]);
  expect([...set.images.subarray(0, 6)]).toEqual([1, Math.fround(0.2), 0, 1, Math.fround(0.2), 0]);
  expect([...set.images.subarray(set.images.length - 3)]).toEqual([0, 0, 1]);
});

test("a truncated file and an impossible label are FORMAT errors", () => {
  expect(() => parseCifar10(record(1, [1, 2, 3]).subarray(0, 3000), "a.bin")).toThrow(
    /a\.bin: truncated: .*found 3000 bytes.*expected 3073/,
  );
  expect(() => parseCifar10(new Uint8Array(0))).toThrow(/truncated/);
  expect(() => parseCifar10(record(10, [0, 0, 0]))).toThrow(/record 0 has label 10/);
});
