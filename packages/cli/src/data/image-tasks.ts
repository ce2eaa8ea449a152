import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { DgateError } from "@dgate/core";
import { digits, type ImageSet, imagesFromIdx, parseCifar10, parseIdx } from "@dgate/tfjs/data";
import { readWhole, reasonOf } from "../io/files.ts";
import { type FetchOptions, fetchFile } from "./fetch-file.ts";
import { cifar10, fashionMnist, type IdxSource, mnist, type RemoteFile } from "./sources.ts";
import { readTar } from "./tar.ts";
import type { Examples, Task } from "./task.ts";

export interface ImageTaskOptions extends FetchOptions {
  readonly seed: number;
  /** At most so many examples; a drawn data set has exactly so many. */
  readonly trainSize?: number | undefined;
  readonly testSize?: number | undefined;
}

/** Names of the built-in data sets. */
export type ImageTaskName = "digits" | "mnist" | "fashion-mnist" | "cifar10";

/** How each built-in data set is loaded. */
export const imageTasks: Readonly<
  Record<ImageTaskName, (options: ImageTaskOptions) => Task | Promise<Task>>
> = {
  digits: digitsTask,
  mnist: (options) => idxTask("mnist", mnist, options),
  "fashion-mnist": (options) => idxTask("fashion-mnist", fashionMnist, options),
  cifar10: cifarTask,
};

/** Digits drawn by the project itself: 12,000 to train on and 4,000 fresh ones to test, from other seeds. */
function digitsTask({ seed, trainSize = 12_000, testSize = 4_000 }: ImageTaskOptions): Task {
  const [train, test] = [
    digits({ count: trainSize, seed: 2 * seed }),
    digits({ count: testSize, seed: 2 * seed + 1 }),
  ];
  return taskOf("digits", train, test, {});
}

async function idxTask(name: string, { folder, files }: IdxSource, options: ImageTaskOptions): Promise<Task> {
  const contents: Uint8Array[] = [];
  for (const file of files) contents.push(await localOrFetched(file, folder, options));
  const set = (images: 0 | 2): ImageSet => {
    const labels = (images + 1) as 1 | 3;
    const names = [files[images].name, files[labels].name] as const;
    return imagesFromIdx(parseIdx(contents[images]!, names[0]), parseIdx(contents[labels]!, names[1]), {
      names,
    });
  };
  return taskOf(name, set(0), set(2), options);
}

/** The balanced subset of a local data folder where there is one, else the whole data set. */
async function cifarTask(options: ImageTaskOptions): Promise<Task> {
  const folder = dataFolders()
    .map((root) => join(root, "cifar10"))
    .find((path) => existsSync(path));
  if (folder) {
    const part = async (prefix: string): Promise<ImageSet> => {
      const name = readdirSync(folder).find((file) => file.startsWith(prefix) && /\.bin(\.gz)?$/.test(file));
      if (!name)
        throw new DgateError(
          "IO",
          `${folder}: has no ${prefix}*.bin or .bin.gz; put one there or unset DGATE_DATA.`,
        );
      return parseCifar10(unzipped(await readWhole(join(folder, name)), name), name);
    };
    return taskOf("cifar10", await part("train"), await part("test"), options);
  }
  const path = await fetchFile(cifar10, "cifar10", options);
  const files = readTar(unzipped(await readWhole(path), cifar10.name), cifar10.name);
  const part = (pattern: RegExp): ImageSet => {
    const parts = [...files]
      .filter(([name]) => pattern.test(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, bytes]) => bytes);
    return parseCifar10(Buffer.concat(parts), `${cifar10.name}: ${pattern.source}`);
  };
  return taskOf("cifar10", part(/data_batch_\d\.bin$/), part(/test_batch\.bin$/), options);
}

/** Bytes of a file from the first data folder that has it (gzip-compressed or not), else from the cache or the network. */
async function localOrFetched(file: RemoteFile, folder: string, options: FetchOptions): Promise<Uint8Array> {
  const plain = file.name.replace(/\.gz$/, "");
  const local = dataFolders()
    .flatMap((root) => [join(root, folder, file.name), join(root, folder, plain)])
    .find((path) => existsSync(path));
  return unzipped(await readWhole(local ?? (await fetchFile(file, folder, options))), file.name);
}

/**
 * Folders that may hold data sets: `DGATE_DATA`; without it `../shared/data` beside the checkout or the current folder.
 *
 * @throws DgateError `IO` when DGATE_DATA names no folder
 */
function dataFolders(): string[] {
  const given = process.env["DGATE_DATA"];
  if (given) {
    if (existsSync(given)) return [given];
    throw new DgateError("IO", `DGATE_DATA: there is no folder ${given}; correct or unset it.`);
  }
  const roots = [process.cwd(), checkoutRoot()].filter((root) => root !== undefined);
  return roots.map((root) => resolve(root, "../shared/data"));
}

/** The root of the repository that this file lies in, if it does. */
function checkoutRoot(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "pnpm-workspace.yaml"))) {
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
  return folder;
}

function unzipped(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new DgateError(
      "FORMAT",
      `${name}: truncated or damaged gzip data (${reasonOf(error)}); fetch the file again.`,
      {
        cause: error,
      },
    );
  }
}

function taskOf(
  name: string,
  train: ImageSet,
  test: ImageSet,
  { trainSize, testSize }: Pick<ImageTaskOptions, "trainSize" | "testSize">,
): Task {
  return {
    name,
    kind: "classification",
    inputShape: [train.height, train.width, train.channels],
    outputs: train.classes,
    train: examplesOf(train, trainSize),
    test: examplesOf(test, testSize),
  };
}

function examplesOf({ images, labels, count, height, width, channels }: ImageSet, atMost = count): Examples {
  const kept = Math.min(count, atMost);
  return {
    count: kept,
    x: images.subarray(0, kept * height * width * channels),
    y: Float32Array.from(labels.subarray(0, kept)),
  };
}
