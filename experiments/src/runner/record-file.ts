import { appendFile, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { DgateError } from "@dgate/core";
import type { RunRecord } from "./run-record.ts";

/**
 * Records of a JSON-lines file, the latest of each hash; none if there is no file. A last line that was cut off is left out: its run was stopped.
 *
 * @throws DgateError `FORMAT` naming the line that is damaged, `IO` for a file that cannot be read
 */
export async function readRecords(path: string): Promise<ReadonlyMap<string, RunRecord>> {
  const lines = (await textOf(path)).split("\n").slice(0, -1);
  const records = lines.flatMap((line, i) =>
    line.trim() === "" ? [] : [parsed(line, `${path}, line ${i + 1}`)],
  );
  return new Map(records.map((record) => [record.hash, record]));
}

/**
 * Makes a file ready for `appendRecord`: its folder, and no line that was cut off at the end. Until what it gives is called no other process can do
 * so: both would make the same runs.
 *
 * @throws DgateError `IO` for what cannot be written, or is written by a process that runs
 */
export async function openRecords(path: string): Promise<() => Promise<void>> {
  const lock = `${path}.lock`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await takeLock(path, lock);
    const text = await textOf(path);
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) await truncate(path, Buffer.byteLength(whole));
  } catch (error) {
    if (error instanceof DgateError) throw error;
    const { code } = error as NodeJS.ErrnoException; // of node:fs
    throw new DgateError("IO", `${path}: cannot be written (${code}); give a folder that can, by --results.`);
  }
  return () => rm(lock, { force: true });
}

/** Writes this process into a lock that is not there, or whose process is gone. */
async function takeLock(path: string, lock: string): Promise<void> {
  for (;;) {
    try {
      await writeFile(lock, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = Number(await textOf(lock));
    if (holder > 0 && isRunning(holder)) {
      throw new DgateError(
        "IO",
        `${path}: process ${holder} makes runs of it; wait for it, give another folder by --results, or remove ${lock} if that is something else.`,
      );
    }
    await rm(lock, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Adds a record as a line. */
export async function appendRecord(path: string, record: RunRecord): Promise<void> {
  await appendFile(path, `${JSON.stringify(record)}\n`);
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // of node:fs
    if (code === "ENOENT") return "";
    throw new DgateError("IO", `${path}: cannot be read (${code}); make it readable, or move it away.`);
  }
}

function parsed(line: string, place: string): RunRecord {
  try {
    const record = JSON.parse(line) as Partial<RunRecord>;
    // Its other fields were written together with these.
    if (typeof record.hash === "string" && record.setup && record.result) return record as RunRecord;
  } catch {
    // Said below.
  }
  throw new DgateError(
    "FORMAT",
    `${place}: is no record of a run; delete the line and run the experiment again.`,
  );
}
