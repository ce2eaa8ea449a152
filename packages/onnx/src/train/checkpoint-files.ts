import { readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import { reasonOf } from "../io/external-files.ts";
import { writeTogether } from "../io/write-together.ts";
import type { Checkpoint } from "./checkpoint.ts";

const stateFile = "state.json";
const arraysPattern = /^arrays-\d+(?:-\d+)?\.safetensors$/;
const leftPattern = /^(?:arrays-\d+(?:-\d+)?\.safetensors|state\.json)\..+\.part$/;

/**
 * Writes a checkpoint into a folder of its own: `arrays-STEP.safetensors`, then `state.json`, which names it, and then removes the arrays of
 * checkpoints before. Each file is written under a temporary name and renamed, and no file that `state.json` names is touched: a process that is
 * killed at any moment leaves the old checkpoint or the new one, whole.
 *
 * @throws DgateError `FORMAT` for a state that is not one of `Trainer.save`, `IO` naming the file that cannot be written; the checkpoint before is then still there
 */
export async function writeCheckpoint(folder: string, { arrays, state }: Checkpoint): Promise<void> {
  const content = parseState("checkpoint", state);
  const { step } = content;
  if (typeof step !== "number" || !Number.isSafeInteger(step) || step < 0) {
    throw new DgateError("FORMAT", `checkpoint: its step is ${String(step)}, expected a whole number.`);
  }
  const taken = namesIn(folder);
  const name = freeName(step, taken);
  await writeTogether([{ path: join(folder, name), content: [arrays] }]);
  const text = print({ ...content, arrays: name });
  // On its own: of several files the last one would be gone for a moment.
  await writeTogether([{ path: join(folder, stateFile), content: [new TextEncoder().encode(text)] }]);
  for (const old of taken) {
    if (arraysPattern.test(old) || leftPattern.test(old)) removeQuietly(join(folder, old));
  }
}

/**
 * The checkpoint of a folder that `writeCheckpoint` wrote, for `Trainer.restore`.
 *
 * @throws DgateError `IO` if there is none or it cannot be read, `FORMAT` for a `state.json` of another kind
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const path = join(folder, stateFile);
  const text = new TextDecoder().decode(await readBytes(path));
  const { arrays: name, ...state } = parseState(path, text);
  if (typeof name !== "string" || !arraysPattern.test(name)) {
    throw new DgateError(
      "FORMAT",
      `${path}: it names no arrays; expected a file that writeCheckpoint wrote.`,
    );
  }
  try {
    return { arrays: await readBytes(join(folder, name)), state: print(state) };
  } catch (error) {
    // A process that trains may have written the next one meanwhile.
    const now = await readBytes(path).then((bytes) => new TextDecoder().decode(bytes));
    if (now === text) throw error;
    return readCheckpoint(folder);
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new DgateError("IO", `${path}: the checkpoint cannot be read (${reasonOf(cause)}).`, { cause });
  }
}

type State = Readonly<Record<string, unknown>>;

function parseState(where: string, text: string): State {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch (cause) {
    throw new DgateError("FORMAT", `${where}: the state of the checkpoint is not JSON; was the file cut?`, {
      cause,
    });
  }
  if (typeof state === "object" && state !== null && !Array.isArray(state)) return state as State; // just looked at
  throw new DgateError("FORMAT", `${where}: the state of the checkpoint is no JSON object.`);
}

const print = (state: State): string => `${JSON.stringify(state, undefined, 2)}\n`;

/** A name that no file has: another training may have come to the same step in this folder. */
function freeName(step: number, taken: readonly string[]): string {
  for (let attempt = 1; ; attempt++) {
    const name = `arrays-${step}${attempt === 1 ? "" : `-${attempt}`}.safetensors`;
    if (!taken.includes(name)) return name;
  }
}

/** What is in a folder; nothing if it is not there yet. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new DgateError("IO", `${folder}: the checkpoint cannot be written (${reasonOf(cause)}).`, {
      cause,
    });
  }
}

/** What cannot be removed only takes room. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // See above.
  }
}
