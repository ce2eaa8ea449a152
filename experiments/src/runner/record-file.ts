import { appendFile, mkdir, readFile, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { DgateError } from "@dgate/core";
import { lock } from "proper-lockfile";
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
 * @throws DgateError `IO` for what cannot be written, or is written by another process
 */
export async function openRecords(path: string): Promise<() => Promise<void>> {
  let release: () => Promise<void> = nothing;
  try {
    await mkdir(dirname(path), { recursive: true });
    // A machine that slept may have lost it; what is written then is whole lines all the same.
    release = await lock(path, { realpath: false, onCompromised: () => {} });
    const text = await textOf(path);
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) await truncate(path, Buffer.byteLength(whole));
  } catch (cause) {
    await release();
    if (cause instanceof DgateError) throw cause;
    const { code } = cause as NodeJS.ErrnoException; // of node:fs, or of the lock
    throw new DgateError(
      "IO",
      code === "ELOCKED"
        ? `${path}: another process makes runs of it, or was killed less than ten seconds ago; wait, or give another folder by --results.`
        : `${path}: cannot be written (${code}); give a folder that can, by --results.`,
      { cause },
    );
  }
  return () => release().catch(nothing); // one that was lost
}

const nothing = async (): Promise<void> => {};

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
