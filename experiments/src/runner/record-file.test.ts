import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { appendRecord, openRecords, readRecords } from "./record-file.ts";
import type { RunRecord } from "./run-record.ts";

const record = (hash: string, value: number): RunRecord => ({
  hash,
  setup: { seed: 1 },
  result: { value },
  backend: "cpu",
  seconds: 1,
  commit: "1234567",
  versions: { node: "20.19.0" },
  cpu: "a processor",
});

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-records-"));
  path = join(folder, "in/it.jsonl");
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

test("what was appended is read, the latest of each hash", async () => {
  expect((await readRecords(path)).size).toBe(0);
  await (await openRecords(path))();
  for (const [hash, value] of [
    ["a", 1],
    ["b", 2],
    ["a", 3],
  ] as const)
    await appendRecord(path, record(hash, value));
  const records = await readRecords(path);
  expect([...records.keys()]).toEqual(["a", "b"]);
  expect(records.get("a")).toEqual(record("a", 3));
});

test("a line that was cut off by a crash is left out, and the next one is whole", async () => {
  await (await openRecords(path))();
  await appendRecord(path, record("a", 1));
  await appendFile(path, '{"hash":"b","set');
  expect([...(await readRecords(path)).keys()]).toEqual(["a"]);
  await (await openRecords(path))();
  await appendRecord(path, record("c", 2));
  expect([...(await readRecords(path)).keys()]).toEqual(["a", "c"]);
  expect((await readFile(path, "utf8")).split("\n")).toHaveLength(3);
});

test.each(["{", "null", "{}", '{"hash":"a"}'])(
  "a damaged line (%s) is an error that names it",
  async (line) => {
    await (await openRecords(path))();
    await appendRecord(path, record("a", 1));
    await appendFile(path, `${line}\n`);
    await expect(readRecords(path)).rejects.toMatchObject({
      code: "FORMAT",
      message: expect.stringContaining("in/it.jsonl, line 2") as string,
    });
  },
);

test("a folder in the place of the file is an error", async () => {
  await writeFile(join(folder, "in"), "");
  await expect(readRecords(path)).rejects.toMatchObject({ code: "IO" });
});

test("a second process is refused while the first one writes; a lock that was left behind long ago is taken", async () => {
  const close = await openRecords(path);
  await expect(openRecords(path)).rejects.toMatchObject({
    code: "IO",
    message: expect.stringContaining("another process makes runs of it") as string,
  });
  await close();
  await mkdir(`${path}.lock`);
  await utimes(`${path}.lock`, 0, 0);
  await (await openRecords(path))();
  expect(await readdir(join(folder, "in"))).toEqual([]);
});

test("a file that cannot be written is told before anything is run", async () => {
  await mkdir(join(folder, "in"));
  await writeFile(join(folder, "in/file"), "");
  await expect(openRecords(join(folder, "in/file/runs.jsonl"))).rejects.toMatchObject({
    code: "IO",
    message: expect.stringMatching(/runs\.jsonl: cannot be written \(\w+\); give a folder/) as string,
  });
});

test("blank lines are no records", async () => {
  await (await openRecords(path))();
  await appendRecord(path, record("a", 1));
  await appendFile(path, "\n\n");
  expect([...(await readRecords(path)).keys()]).toEqual(["a"]);
});
