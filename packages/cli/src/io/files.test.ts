import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { prepareOutputs, readWhole, writeWhole } from "./files.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-files-"));
});

afterEach(() => rm(folder, { recursive: true }));

test("a file is written whole and leaves no temporary one", async () => {
  const path = join(folder, "a.bin");
  await writeWhole(path, Uint8Array.of(1, 2, 3));
  await writeWhole(path, "new");
  expect(await readFile(path, "utf8")).toBe("new");
  expect(await readdir(folder)).toEqual(["a.bin"]);
});

test("a write that fails is an IO error with the path and leaves nothing", async () => {
  const path = join(folder, "nowhere", "a.bin");
  await expect(writeWhole(path, "x")).rejects.toMatchObject({
    code: "IO",
    message: expect.stringContaining(path) as unknown,
  });
  // The rename fails: a folder has the name.
  await prepareOutputs(join(folder, "taken"), [], false);
  await expect(writeWhole(join(folder, "taken"), "x")).rejects.toMatchObject({ code: "IO" });
  expect(await readdir(folder)).toEqual(["taken"]);
});

test("a missing file is an IO error with the path", async () => {
  await expect(readWhole(join(folder, "none"))).rejects.toThrow(
    /none: cannot be read \(ENOENT: no such file or directory\); is the path right\?/,
  );
});

test("an existing output is refused unless forced", async () => {
  await writeFile(join(folder, "model.onnx"), "");
  await expect(prepareOutputs(folder, ["report.json", "model.onnx"], false)).rejects.toMatchObject({
    code: "OPTION",
  });
  await prepareOutputs(folder, ["model.onnx"], true);
  await prepareOutputs(join(folder, "new", "deep"), ["model.onnx"], false);
});
