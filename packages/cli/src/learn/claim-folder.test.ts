import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimFolder } from "./claim-folder.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-claim-"));
});

afterEach(() => rm(folder, { recursive: true }));

test("the folders around an output are made, and removed again where the work failed", async () => {
  const undo = await claimFolder(join(folder, "a/b/out"), { model: "m", force: false });
  expect(await readdir(join(folder, "a"))).toEqual(["b"]);
  await undo();
  expect(await readdir(folder)).toEqual([]);
});

test("a folder that is there is kept without --force, and one that is no model with it", async () => {
  const out = join(folder, "out");
  await mkdir(out);
  await writeFile(join(out, "diary.txt"), "");
  const claim = (force: boolean) => claimFolder(out, { model: "m", force });
  await expect(claim(false)).rejects.toThrow(/out: exists already; give --force/);
  await expect(claim(true)).rejects.toThrow(/out: is no model folder/);
  await writeFile(join(out, "config.json"), "{}");
  await claim(true);
  expect((await readdir(out)).sort()).toEqual(["config.json", "diary.txt"]);
});

test("the model itself is not replaced", async () => {
  const claim = claimFolder(`${folder}/`, { model: folder, force: true });
  await expect(claim).rejects.toThrow(/--out .* is the model itself/);
});
