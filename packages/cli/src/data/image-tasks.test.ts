import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { loadTask } from "./load-task.ts";
import { readTar } from "./tar.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-data-"));
  vi.stubEnv("DGATE_DATA", folder);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

const idx = (shape: readonly number[], content: Uint8Array): Uint8Array => {
  const sizes = shape.flatMap((size) => [0, 0, size >> 8, size & 255]);
  return Uint8Array.from([0, 0, 8, shape.length, ...sizes, ...content]);
};

async function writeMnist(images: Uint8Array): Promise<void> {
  await mkdir(join(folder, "mnist"));
  for (const part of ["train", "t10k"]) {
    await writeFile(join(folder, "mnist", `${part}-images-idx3-ubyte.gz`), gzipSync(images));
    await writeFile(join(folder, "mnist", `${part}-labels-idx1-ubyte`), idx([3], Uint8Array.of(1, 2, 3)));
  }
}

test("mnist is read from DGATE_DATA, compressed or not, and cut to the sizes asked for", async () => {
  await writeMnist(
    idx(
      [3, 2, 2],
      Uint8Array.from({ length: 12 }, (_, i) => i * 20),
    ),
  );
  const task = await loadTask({ data: "mnist", seed: 1, trainSize: 2 });
  expect(task).toMatchObject({ name: "mnist", inputShape: [2, 2, 1], outputs: 10 });
  expect([task.train.count, task.test.count]).toEqual([2, 3]);
  expect([...task.train.y]).toEqual([1, 2]);
  expect(task.train.x[7]).toBeCloseTo(140 / 255, 6);
});

test("a truncated idx file is a FORMAT error that names the file", async () => {
  await writeMnist(idx([3, 2, 2], new Uint8Array(11)));
  await expect(loadTask({ data: "mnist", seed: 1 })).rejects.toMatchObject({
    code: "FORMAT",
    message: expect.stringMatching(/^train-images-idx3-ubyte\.gz: truncated.*28 bytes, found 27/) as unknown,
  });
});

test("damaged gzip data is a FORMAT error", async () => {
  await writeMnist(new Uint8Array(0));
  const cut = gzipSync(new Uint8Array(1000)).subarray(0, 20);
  await writeFile(join(folder, "mnist", "train-images-idx3-ubyte.gz"), cut);
  await expect(loadTask({ data: "mnist", seed: 1 })).rejects.toMatchObject({
    code: "FORMAT",
    message: expect.stringContaining("damaged gzip") as unknown,
  });
});

test("cifar10 is read from its binary layout", async () => {
  await mkdir(join(folder, "cifar10"));
  const record = new Uint8Array(3073).fill(255, 1, 1025);
  record[0] = 4;
  await writeFile(join(folder, "cifar10", "train_subset.bin.gz"), gzipSync(Buffer.concat([record, record])));
  await writeFile(join(folder, "cifar10", "test_subset.bin"), record);
  const task = await loadTask({ data: "cifar10", seed: 1 });
  expect(task).toMatchObject({ inputShape: [32, 32, 3], train: { count: 2 }, test: { count: 1 } });
  expect([...task.test.x.subarray(0, 4)]).toEqual([1, 0, 0, 1]);
});

test("digits are drawn, train and test apart", async () => {
  const task = await loadTask({ data: "digits", seed: 3, trainSize: 30, testSize: 20 });
  expect([task.train.count, task.test.count]).toEqual([30, 20]);
  expect(task.train.x.subarray(0, 784)).not.toEqual(task.test.x.subarray(0, 784));
});

test("unknown data, a missing target and a wrong DGATE_DATA say what to give", async () => {
  await expect(loadTask({ data: "imagenet", seed: 1 })).rejects.toMatchObject({ code: "OPTION" });
  const csv = join(folder, "t.csv");
  await writeFile(csv, "a,b\n1,2\n");
  await expect(loadTask({ data: csv, seed: 1 })).rejects.toThrow(/give --target COLUMN.*a,b/);
  await expect(loadTask({ data: join(folder, "none.csv"), seed: 1 })).rejects.toMatchObject({ code: "IO" });
  vi.stubEnv("DGATE_DATA", join(folder, "nowhere"));
  await expect(loadTask({ data: "mnist", seed: 1 })).rejects.toThrow(/DGATE_DATA: there is no folder/);
});

test("a tar archive gives its regular files; a cut one is refused", () => {
  const header = Buffer.alloc(512);
  header.write("folder/a.bin");
  header.write("00000000003\0", 124);
  header[156] = 0x30;
  const archive = Buffer.concat([header, Buffer.from("abc"), Buffer.alloc(509), Buffer.alloc(1024)]);
  expect([...readTar(archive)].map(([name, bytes]) => [name, Buffer.from(bytes).toString()])).toEqual([
    ["folder/a.bin", "abc"],
  ]);
  expect(() => readTar(archive.subarray(0, 514))).toThrow(/truncated: entry "folder\/a\.bin" at byte 0/);
});
