import { DgateError } from "@dgate/core";
import type { ImageSet } from "./image-set.ts";

/** Content of an idx file: shape and values, row-major. */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
}

interface ElementType {
  readonly name: string;
  readonly size: number;
  readonly make: (length: number) => IdxArray["data"];
  readonly read: (view: DataView, offset: number) => number;
}

/** Element types by the third byte of the file; all are big-endian. */
const elementTypes: Readonly<Record<number, ElementType>> = {
  8: { name: "uint8", size: 1, make: (n) => new Uint8Array(n), read: (view, at) => view.getUint8(at) },
  9: { name: "int8", size: 1, make: (n) => new Int8Array(n), read: (view, at) => view.getInt8(at) },
  11: { name: "int16", size: 2, make: (n) => new Int16Array(n), read: (view, at) => view.getInt16(at) },
  12: { name: "int32", size: 4, make: (n) => new Int32Array(n), read: (view, at) => view.getInt32(at) },
  13: { name: "float32", size: 4, make: (n) => new Float32Array(n), read: (view, at) => view.getFloat32(at) },
  14: { name: "float64", size: 8, make: (n) => new Float64Array(n), read: (view, at) => view.getFloat64(at) },
};

const HIGHEST_RANK = 8;

/**
 * Reads an idx file (the format of MNIST): two zero bytes, element type, rank, sizes as big-endian uint32, values.
 *
 * @param name the file's name, for messages
 * @throws DgateError `FORMAT` for a wrong magic number, and for a truncated or too long file with expected and found bytes
 */
export function parseIdx(bytes: Uint8Array, name = "idx data"): IdxArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = bytes.length >= 4 && view.getUint16(0) === 0 ? elementTypes[view.getUint8(2)] : undefined;
  if (!type) {
    const start = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new DgateError(
      "FORMAT",
      `${name}: not an idx file: it starts with "${start}" instead of 00 00, a type (08 to 0e) and a rank; is it still gzip-compressed?`,
    );
  }
  const rank = view.getUint8(3);
  if (rank > HIGHEST_RANK) {
    throw new DgateError("FORMAT", `${name}: rank ${rank} is above the limit of ${HIGHEST_RANK}.`);
  }
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw wrongLength(name, header, bytes.length, `header of rank ${rank}`);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const length = shape.reduce((product, size) => product * size, 1);
  const expected = header + length * type.size;
  if (bytes.length !== expected) {
    throw wrongLength(name, expected, bytes.length, `${type.name} [${shape.join(", ")}]`);
  }
  if (type.name === "uint8") return { shape, data: bytes.subarray(header) };
  const data = type.make(length);
  for (let i = 0; i < length; i++) data[i] = type.read(view, header + i * type.size);
  return { shape, data };
}

function wrongLength(name: string, expected: number, found: number, what: string): DgateError {
  const verdict = found < expected ? "truncated" : "too long";
  return new DgateError(
    "FORMAT",
    `${name}: ${verdict}: ${what} takes ${expected} bytes, found ${found}; fetch the file again.`,
  );
}

/**
 * Pairs an idx file of images (`[count, height, width]`, uint8) with one of labels (`[count]`, uint8); pixels become value/255.
 *
 * @param names files' names, for messages
 * @throws DgateError `FORMAT` for other shapes or types or labels outside the classes, `SHAPE` for different counts
 */
export function imagesFromIdx(
  images: IdxArray,
  labels: IdxArray,
  {
    names = ["images", "labels"],
    classes = 10,
  }: { readonly names?: readonly [string, string]; readonly classes?: number } = {},
): ImageSet {
  const pixels = bytesOf(images, names[0], 3);
  const classOf = bytesOf(labels, names[1], 1);
  const [count = 0, height = 0, width = 0] = images.shape;
  if (labels.shape[0] !== count) {
    throw new DgateError(
      "SHAPE",
      `${names[0]} has ${count} images but ${names[1]} has ${labels.shape[0]} labels; are they of the same set?`,
    );
  }
  const wrong = classOf.findIndex((label) => label >= classes);
  if (wrong >= 0) {
    throw new DgateError(
      "FORMAT",
      `${names[1]}: label ${classOf[wrong]} at ${wrong} is not below ${classes}; is it the label file?`,
    );
  }
  const scaled = new Float32Array(pixels.length);
  // A loop: Float32Array.from with a function takes many seconds for MNIST's 47 million pixels.
  for (let i = 0; i < pixels.length; i++) scaled[i] = pixels[i]! / 255;
  return { images: scaled, labels: classOf, count, height, width, channels: 1, classes };
}

function bytesOf({ shape, data }: IdxArray, name: string, rank: number): Uint8Array {
  if (data instanceof Uint8Array && shape.length === rank) return data;
  throw new DgateError(
    "FORMAT",
    `${name}: expected uint8 of rank ${rank}, found ${data.constructor.name} [${shape.join(", ")}]; is it the right file?`,
  );
}
