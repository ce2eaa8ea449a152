import { DgateError } from "@dgate/core";
import type { ImageSet } from "./image-set.ts";

const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 1 + 3 * PLANE;

/**
 * Reads CIFAR-10's binary layout: records of 3,073 bytes, one label (0 to 9), then the red, green and blue planes row by row.
 * Pixels become value/255, channels last.
 *
 * @param name the file's name, for messages
 * @throws DgateError `FORMAT` for an empty file, a length that is no multiple of 3,073 or a label above 9
 */
export function parseCifar10(bytes: Uint8Array, name = "cifar-10 data"): ImageSet {
  const count = Math.floor(bytes.length / RECORD);
  if (count === 0 || bytes.length !== count * RECORD) {
    throw new DgateError(
      "FORMAT",
      `${name}: truncated: records take ${RECORD} bytes each, found ${bytes.length} bytes (${count} records and ` +
        `${bytes.length - count * RECORD} bytes, expected ${(count + 1) * RECORD}); fetch the file again.`,
    );
  }
  const images = new Float32Array(count * 3 * PLANE);
  const labels = new Uint8Array(count);
  for (let record = 0; record < count; record++) {
    const start = record * RECORD;
    labels[record] = bytes[start]!;
    if (labels[record]! > 9) {
      throw new DgateError(
        "FORMAT",
        `${name}: record ${record} has label ${labels[record]}, expected 0 to 9.`,
      );
    }
    for (let channel = 0; channel < 3; channel++) {
      const plane = start + 1 + channel * PLANE;
      for (let i = 0; i < PLANE; i++) images[(record * PLANE + i) * 3 + channel] = bytes[plane + i]! / 255;
    }
  }
  return { images, labels, count, height: SIDE, width: SIDE, channels: 3, classes: 10 };
}
