import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { randomGenerator } from "@dgate/core";
import type { Feed } from "@dgate/onnx";
import type { Batch } from "@dgate/onnx/train";
import { digits, type ImageSet, imagesFromIdx, parseCifar10, parseIdx } from "@dgate/tfjs/data";
import { epochBatches } from "../training/epoch-batches.ts";
import { requiredDataFolder } from "../training/required-data.ts";

/** Images to train on and others to score with. */
export interface ImageData {
  readonly train: ImageSet;
  readonly test: ImageSet;
}

export const mnistFiles = [
  "mnist/train-images-idx3-ubyte.gz",
  "mnist/train-labels-idx1-ubyte.gz",
  "mnist/t10k-images-idx3-ubyte.gz",
  "mnist/t10k-labels-idx1-ubyte.gz",
] as const;

export const cifarFiles = ["cifar10/train_subset_8000.bin.gz", "cifar10/test_subset_3000.bin.gz"] as const;

const unzipped = (file: string): Uint8Array => gunzipSync(readFileSync(join(requiredDataFolder(), file)));

const readMnist = (images: string, labels: string): ImageSet =>
  imagesFromIdx(parseIdx(unzipped(images), images), parseIdx(unzipped(labels), labels));

/** MNIST, 60,000 and 10,000 images. */
export function mnist(): ImageData {
  return { train: readMnist(mnistFiles[0], mnistFiles[1]), test: readMnist(mnistFiles[2], mnistFiles[3]) };
}

/** Mean and standard deviation of all pixels of the training part. */
const [mean, deviation] = [0.473, 0.253];

const standardised = (set: ImageSet): ImageSet => ({
  ...set,
  images: set.images.map((x) => (x - mean) / deviation),
});

/** A class-balanced part of CIFAR-10, 8,000 and 3,000 images; pixels shifted and scaled to mean 0 and deviation 1 of all. */
export function cifar10(): ImageData {
  const [train, test] = cifarFiles.map((file) => parseCifar10(unzipped(file), file));
  return { train: standardised(train!), test: standardised(test!) };
}

/** What was drawn before: a sweep asks for the same digits in every run. */
const drawn = new Map<string, ImageData>();

/** Digits drawn by `@dgate/tfjs`: no file is needed. */
export function drawnDigits(train: number, test: number): ImageData {
  const key = `${train} ${test}`;
  const found = drawn.get(key) ?? {
    train: digits({ count: train, seed: 1 }),
    test: digits({ count: test, seed: 2 }),
  };
  drawn.set(key, found);
  return found;
}

/** Digits of 14 × 14 pixels, the means of 2 × 2 of those that are drawn. */
export function smallDigits(train: number, test: number): ImageData {
  const whole = drawnDigits(train, test);
  return { train: halved(whole.train), test: halved(whole.test) };
}

function halved(set: ImageSet): ImageSet {
  const [height, width] = [set.height / 2, set.width / 2];
  const images = new Float32Array(set.count * height * width);
  images.forEach((_, i) => {
    const [image, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    const at = image * set.height * set.width + 2 * y * set.width + 2 * x;
    const four = [at, at + 1, at + set.width, at + set.width + 1];
    images[i] = four.reduce((sum, place) => sum + set.images[place]!, 0) / 4;
  });
  return { ...set, images, height, width };
}

/** Rows of a set as a batch, written into an array if there is one. */
export function imageBatch(
  { images, labels, height, width, channels }: ImageSet,
  rows: ArrayLike<number>,
  flat: boolean,
  data = new Float32Array(rows.length * height * width * channels),
): Batch & { readonly input: Feed } {
  const size = height * width * channels;
  const classes = Array.from(rows, (row, i) => {
    data.set(images.subarray(row * size, (row + 1) * size), i * size);
    return labels[row]!;
  });
  const shape = flat ? [rows.length, size] : [rows.length, height, width, channels];
  return { input: { data, shape }, labels: { data: classes, shape: [rows.length] } };
}

/**
 * Endless batches, as `epochBatches`. They share one array: a fresh one for each would keep the garbage collector busy, and a batch is over when the next
 * one is asked for.
 */
export function shuffled(set: ImageSet, size: number, flat: boolean) {
  const data = new Float32Array(size * set.height * set.width * set.channels);
  return epochBatches(set.count, size, (rows) => imageBatch(set, rows, flat, data));
}

/** Batches of small size that stay, for importances. */
export function fixedBatches(set: ImageSet, seed: number, flat: boolean): readonly Batch[] {
  const random = randomGenerator(seed);
  return Array.from({ length: 64 }, () =>
    imageBatch(
      set,
      Array.from({ length: 16 }, () => random.integer(set.count)),
      flat,
    ),
  );
}
