import { DgateError, type TargetSparsityState } from "@dgate/core";
import { decodeSafetensors, encodeSafetensors, type SafetensorsEntry } from "@dgate/core/safetensors";

/** All that training needs to go on: arrays as a safetensors file, the rest as JSON. */
export interface Checkpoint {
  /** Parameters, and what the optimiser remembers, by name. */
  readonly arrays: Uint8Array;
  /** A `CheckpointState`. */
  readonly state: string;
}

/** What a checkpoint holds beside its arrays. */
export interface CheckpointState {
  readonly version: 1;
  /** Steps that were done. */
  readonly step: number;
  /** Of the gated model. */
  readonly fingerprint: string;
  readonly optimizer: { readonly name: string; readonly config: Readonly<Record<string, number | boolean>> };
  /** The penalty where it is not that of D-Gating, with its D, such as `sparse, D = 3`. */
  readonly penalty?: string;
  /** Memory of the controller of λ, where a target is steered to. */
  readonly controller: TargetSparsityState | null;
}

/** Writes a checkpoint. */
export function encodeCheckpoint(
  arrays: ReadonlyMap<string, Float32Array>,
  shapes: ReadonlyMap<string, readonly number[]>,
  state: CheckpointState,
): Checkpoint {
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, array] of arrays) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    entries.set(name, { dtype: "F32", shape: [...(shapes.get(name) ?? [array.length])], bytes });
  }
  return {
    arrays: encodeSafetensors(entries, { format: "dgate-training", step: String(state.step) }),
    state: `${JSON.stringify(state, undefined, 2)}\n`,
  };
}

/**
 * Reads a checkpoint, and checks that it belongs to what it is read for.
 *
 * @param expected what training goes on with; `steered` tells whether λ follows a target
 * @param sizes number of elements of each array: these must be there, and no others
 * @throws DgateError `FORMAT` for a damaged file, `CHECK` for one of another model, step, optimiser or choice of parameters
 */
export function decodeCheckpoint(
  { arrays, state: text }: Checkpoint,
  expected: Pick<CheckpointState, "fingerprint" | "optimizer" | "penalty"> & { readonly steered: boolean },
  sizes: ReadonlyMap<string, number>,
): { readonly state: CheckpointState; readonly arrays: ReadonlyMap<string, Float32Array> } {
  const state = parseState(text);
  const own = JSON.stringify(expected.optimizer);
  if (state.fingerprint !== expected.fingerprint) {
    throw new DgateError(
      "CHECK",
      `checkpoint: it is of model ${state.fingerprint}, this one is ${expected.fingerprint}; gate the same sites of the same model.`,
    );
  }
  if (JSON.stringify(state.optimizer) !== own) {
    throw new DgateError(
      "CHECK",
      `checkpoint: it was made with ${JSON.stringify(state.optimizer)}, this is ${own}; give the same optimizer.`,
    );
  }
  if (state.penalty !== expected.penalty) {
    const [found, wanted] = [state.penalty, expected.penalty].map((penalty) => penalty ?? "smooth");
    throw new DgateError(
      "CHECK",
      `checkpoint: its penalty is ${found}, this one's is ${wanted}; give the same penalty and depth.`,
    );
  }
  if ((state.controller !== null) !== expected.steered) {
    throw new DgateError(
      "CHECK",
      `checkpoint: lambda ${expected.steered ? "was no target" : "was steered to a target"} when it was made; give the same kind of lambda.`,
    );
  }
  const { tensors, metadata } = decodeSafetensors(arrays);
  if (metadata["step"] !== String(state.step)) {
    throw new DgateError(
      "CHECK",
      `checkpoint: the arrays are of step ${metadata["step"]}, the state of ${state.step}; take files that belong together.`,
    );
  }
  const other = [...tensors.keys()].find((name) => !sizes.has(name));
  if (other !== undefined) {
    throw new DgateError(
      "CHECK",
      `checkpoint: it has "${other}", which is not trained here; train the same parameters with the same optimizer.`,
    );
  }
  const read = new Map<string, Float32Array>();
  for (const [name, size] of sizes) {
    const entry = tensors.get(name);
    if (entry?.dtype !== "F32" || entry.bytes.length !== 4 * size) {
      throw new DgateError(
        "CHECK",
        `checkpoint: "${name}" is ${entry ? "of another size" : "missing"}; train the same parameters with the same optimizer.`,
      );
    }
    read.set(name, new Float32Array(new Uint8Array(entry.bytes).buffer)); // a copy, for alignment
  }
  return { state, arrays: read };
}

function parseState(text: string): CheckpointState {
  let parsed: Partial<CheckpointState>;
  try {
    parsed = JSON.parse(text) as Partial<CheckpointState>; // every field is looked at below
  } catch (cause) {
    throw new DgateError("FORMAT", "checkpoint: its state is not JSON; was the file cut?", { cause });
  }
  const { version, step, fingerprint, optimizer, controller } = parsed ?? {};
  const sound =
    Number.isSafeInteger(step) &&
    step! >= 0 &&
    typeof fingerprint === "string" &&
    typeof optimizer === "object" &&
    isController(controller);
  if (version !== 1 || !sound) {
    throw new DgateError(
      "FORMAT",
      `checkpoint: its state is not that of version 1 (${text.slice(0, 60).replaceAll(/\s+/g, " ")}…).`,
    );
  }
  return parsed as CheckpointState; // just looked at
}

const isController = (state: TargetSparsityState | null | undefined): boolean =>
  state === null ||
  (typeof state === "object" &&
    typeof state.lambda === "number" &&
    (state.last === null || typeof state.last === "number"));
