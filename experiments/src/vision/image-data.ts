import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { randomGenerator } from "@dgate/core";
import type { Feed } from "@dgate/onnx";
import type { Batch } from "@dgate/onnx/train";
import { digits, type ImageSet, imagesFromIdx, parseCifar10, parseIdx } from "@dgate/tfjs/data";
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

/** Digits drawn by `@dgate/tfjs`: no file is needed. */
export function drawnDigits(train: number, test: number): ImageData {
  return { train: digits({ count: train, seed: 1 }), test: digits({ count: test, seed: 2 }) };
}

/** Rows of a set as a batch. */
export function imageBatch(
  { images, labels, height, width, channels }: ImageSet,
  rows: ArrayLike<number>,
  flat: boolean,
): Batch & { readonly input: Feed } {
  const size = height * width * channels;
  const data = new Float32Array(rows.length * size);
  const classes = Array.from(rows, (row, i) => {
    data.set(images.subarray(row * size, (row + 1) * size), i * size);
    return labels[row]!;
  });
  const shape = flat ? [rows.length, size] : [rows.length, height, width, channels];
  return { input: { data, shape }, labels: { data: classes, shape: [rows.length] } };
}

/** Endless batches: every image once in each epoch, in an order that seed and epoch decide. */
export function shuffled(set: ImageSet, size: number, flat: boolean) {
  const perEpoch = Math.floor(set.count / size);
  return (seed: number) =>
    function* from(stepsDone: number): Generator<Batch, void, undefined> {
      for (let epoch = Math.floor(stepsDone / perEpoch); ; epoch++) {
        const order = Int32Array.from({ length: set.count }, (_, i) => i);
        randomGenerator(seed * 100_003 + epoch).shuffle(order);
        const first = epoch === Math.floor(stepsDone / perEpoch) ? stepsDone % perEpoch : 0;
        for (let step = first; step < perEpoch; step++)
          yield imageBatch(set, order.subarray(step * size, (step + 1) * size), flat);
      }
    };
}
