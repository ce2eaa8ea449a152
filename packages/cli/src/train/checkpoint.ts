import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import type { TrainingCallback, TrainingPosition } from "@dgate/tfjs";
import { checkpoint as checkpointCallback, resume } from "@dgate/tfjs/node";
import type * as tf from "@tensorflow/tfjs";
import { exists, prepareOutputs, writeWhole } from "../io/files.ts";
import type { TrainSettings } from "./document.ts";
import type { Observers } from "./fit.ts";
import { type Session, settingsOf } from "./session.ts";

/** The checkpoint of a training, or one that keeps nothing. */
export interface TrainCheckpoint {
  readonly callbacks: readonly TrainingCallback[];
  readonly start: TrainingPosition | undefined;
  /** A number that is computed once and then kept. */
  readonly once: (name: string, compute: () => Promise<number>) => Promise<number>;
}

/** What lies beside the weights: which training it is, and numbers computed once. */
interface Notes {
  readonly settings: TrainSettings;
  readonly numbers: Readonly<Record<string, number>>;
}

const notesName = "training.json";
const weightsName = "checkpoint.safetensors";

/**
 * Opens the folder of `--checkpoint`: starts a checkpoint there, or goes on from it with `--resume`.
 *
 * @throws DgateError `OPTION` if there is a checkpoint already and no `--resume`, or if it is of other settings
 */
export async function openCheckpoint(
  session: Session,
  model: tf.LayersModel,
  { scores, monitor }: Observers,
): Promise<TrainCheckpoint> {
  const { checkpoint: directory, resume: goOn, force } = session.request;
  if (directory === undefined)
    return { callbacks: [], start: undefined, once: async (_, compute) => compute() };
  const path = join(directory, notesName);
  if (!goOn) await prepareOutputs(directory, [notesName], force);
  let notes: Notes = goOn
    ? await readNotes(path, settingsOf(session))
    : { settings: settingsOf(session), numbers: {} };
  await writeWhole(path, JSON.stringify(notes));
  const observers = [...(monitor ? [monitor] : []), scores];
  // Stopped before the first epoch was over, there are notes but no weights yet.
  const saved = goOn && (await exists(join(directory, weightsName)));
  return {
    callbacks: [checkpointCallback({ directory, include: observers })],
    start: saved ? await resume(model, directory, { include: observers }) : undefined,
    async once(name, compute) {
      const known = notes.numbers[name];
      if (known !== undefined) return known;
      const value = await compute();
      notes = { ...notes, numbers: { ...notes.numbers, [name]: value } };
      await writeWhole(path, JSON.stringify(notes));
      return value;
    },
  };
}

async function readNotes(path: string, wanted: TrainSettings): Promise<Notes> {
  if (!(await exists(path))) {
    throw new DgateError("IO", `${path}: there is no checkpoint to resume; leave out --resume to start one.`);
  }
  const notes = parseNotes(await readFile(path, "utf8"), path);
  const names = Object.keys(wanted) as (keyof TrainSettings)[];
  const other = names.find((name) => JSON.stringify(notes.settings[name]) !== JSON.stringify(wanted[name]));
  if (other) {
    throw new DgateError(
      "OPTION",
      `${path}: the checkpoint was made with ${other} = ${JSON.stringify(notes.settings[other])}, asked for is ` +
        `${JSON.stringify(wanted[other])}; give the same options or another --checkpoint.`,
    );
  }
  return notes;
}

function parseNotes(text: string, path: string): Notes {
  try {
    const notes = JSON.parse(text) as Partial<Notes>;
    if (notes.settings && notes.numbers) return { settings: notes.settings, numbers: notes.numbers };
  } catch {
    // Said below.
  }
  throw new DgateError("FORMAT", `${path}: is no training record; delete the folder and start again.`);
}
