import { DgateError, fingerprintOf } from "@dgate/core";
import { decodeSafetensors, encodeSafetensors, type SafetensorsEntry } from "@dgate/core/safetensors";
import * as tf from "@tensorflow/tfjs";
import type { StatefulCallback } from "../callbacks/stateful.ts";
import { Gated } from "../gating/gated-layer.ts";
import { leafLayers } from "../gating/model-config.ts";
import { learningRateOf, optimizerTensors, restoreOptimizer, setLearningRate } from "./optimizer-state.ts";
import type { TrainingPosition } from "./train.ts";

const formatName = "dgate-checkpoint";
const formatVersion = 1;

/** What a checkpoint holds beside its tensors. */
interface CheckpointState {
  readonly version: number;
  readonly position: TrainingPosition;
  readonly fingerprint: string;
  readonly optimizer: string;
  readonly learningRate: number | null;
  /** λ of each gated layer, in the order of layers. */
  readonly lambdas: readonly number[];
  readonly callbacks: Readonly<Record<string, unknown>>;
}

/**
 * All that training needs to go on, as one safetensors file: weights, gates, optimiser slots, λ, learning rate and the
 * memory of callbacks. (Batches and dropout depend on the seed and the position alone.)
 */
export async function writeCheckpoint(
  model: tf.LayersModel,
  position: TrainingPosition,
  callbacks: readonly StatefulCallback[] = [],
): Promise<Uint8Array> {
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [i, weight] of model.weights.entries()) {
    tensors.set(`weights/${i}/${weight.originalName}`, await entryOf(weight.read()));
  }
  const slots = await optimizerTensors(model.optimizer);
  for (const [i, [name, tensor]] of slots.entries())
    tensors.set(`optimizer/${i}/${name}`, await entryOf(tensor));
  const state: CheckpointState = {
    version: formatVersion,
    position,
    fingerprint: fingerprint(model),
    optimizer: model.optimizer.getClassName(),
    learningRate: learningRateOf(model.optimizer) ?? null,
    lambdas: gatedLayersOf(model).map(({ lambda }) => lambda),
    callbacks: Object.fromEntries(callbacks.map((callback) => [callback.stateName, callback.saveState()])),
  };
  return encodeSafetensors(tensors, { format: formatName, state: JSON.stringify(state) });
}

/**
 * Puts a checkpoint back into a compiled model of the same architecture and optimiser, and into callbacks.
 *
 * @returns where to go on
 * @throws DgateError `FORMAT` for a file that is no checkpoint, `CHECK` for one of another model or optimiser
 */
export async function readCheckpoint(
  model: tf.LayersModel,
  bytes: Uint8Array,
  callbacks: readonly StatefulCallback[] = [],
): Promise<TrainingPosition> {
  const { tensors, metadata } = decodeSafetensors(bytes);
  const state = parseState(metadata);
  checkModel(model, state);
  const restored = [...tensors].map(([name, entry]) => ({ name: name.split("/"), tensor: tensorOf(entry) }));
  const part = (kind: string): { readonly rest: string; readonly tensor: tf.Tensor }[] =>
    restored
      .filter(({ name }) => name[0] === kind)
      .sort((a, b) => Number(a.name[1]) - Number(b.name[1]))
      .map(({ name, tensor }) => ({ rest: name.slice(2).join("/"), tensor }));
  const weights = part("weights");
  if (weights.length !== model.weights.length) {
    throw new DgateError(
      "FORMAT",
      `checkpoint: ${weights.length} weights, expected ${model.weights.length}.`,
    );
  }
  // assign rather than write, which would apply a constraint once more.
  model.weights.forEach((weight, i) => (weight.read() as tf.Variable).assign(weights[i]!.tensor));
  await restoreOptimizer(
    model.optimizer,
    part("optimizer").map(({ rest, tensor }) => [rest, tensor] as const),
  );
  if (state.learningRate !== null) setLearningRate(model.optimizer, state.learningRate);
  for (const [i, layer] of gatedLayersOf(model).entries()) layer.lambda = state.lambdas[i]!;
  for (const callback of callbacks) {
    if (callback.stateName in state.callbacks) callback.loadState(state.callbacks[callback.stateName]);
  }
  tf.dispose(restored.map(({ tensor }) => tensor));
  return state.position;
}

function parseState({ format, state }: Readonly<Record<string, string>>): CheckpointState {
  if (format !== formatName || state === undefined) {
    throw new DgateError("FORMAT", `checkpoint: the file's metadata does not say "${formatName}".`);
  }
  let parsed: Partial<CheckpointState>;
  try {
    parsed = JSON.parse(state) as Partial<CheckpointState>;
  } catch (cause) {
    throw new DgateError("FORMAT", "checkpoint: its state is not JSON; was the file edited?", { cause });
  }
  const { version, position, fingerprint: print, optimizer, lambdas, callbacks, learningRate } = parsed;
  if (version !== formatVersion) {
    throw new DgateError("FORMAT", `checkpoint: version ${String(version)}, expected ${formatVersion}.`);
  }
  const sound =
    isCount(position?.epoch) &&
    isCount(position.batch) &&
    typeof print === "string" &&
    typeof optimizer === "string";
  if (!sound || !Array.isArray(lambdas) || typeof callbacks !== "object" || callbacks === null) {
    throw new DgateError(
      "FORMAT",
      "checkpoint: its state lacks the position, fingerprint, optimizer or lambdas.",
    );
  }
  // The fields have just been looked at.
  return { ...(parsed as CheckpointState), learningRate: learningRate ?? null };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function checkModel(model: tf.LayersModel, state: CheckpointState): void {
  if (!model.optimizer) {
    throw new DgateError("OPTION", `checkpoint: model "${model.name}" has no optimizer: compile it first.`);
  }
  const optimizer = model.optimizer.getClassName();
  if (optimizer !== state.optimizer) {
    throw new DgateError(
      "CHECK",
      `checkpoint: it was made with optimizer ${state.optimizer}, the model has ${optimizer}: compile with the same one.`,
    );
  }
  if (fingerprint(model) === state.fingerprint && gatedLayersOf(model).length === state.lambdas.length)
    return;
  throw new DgateError(
    "CHECK",
    `checkpoint: it belongs to a model of other shapes than "${model.name}": build and gate it as it was.`,
  );
}

/** Shapes in order; names are left out, because tfjs numbers unnamed layers by what else the process has made. */
function fingerprint(model: tf.LayersModel): string {
  return fingerprintOf(
    model.weights.map((weight, i) => ({
      name: String(i),
      shape: weight.shape.map(Number),
      dtype: weight.dtype,
    })),
  );
}

function gatedLayersOf(model: tf.LayersModel): Gated[] {
  return leafLayers(model).flatMap(({ layer }) => (layer instanceof Gated ? [layer] : []));
}

async function entryOf(tensor: tf.Tensor): Promise<SafetensorsEntry> {
  const data = await tensor.data();
  const dtype = tensor.dtype === "int32" ? "I32" : "F32";
  if (tensor.dtype !== "int32" && tensor.dtype !== "float32") {
    throw new DgateError("UNSUPPORTED", `checkpoint: a weight has element type ${tensor.dtype}.`);
  }
  const bytes = new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  return { dtype, shape: [...tensor.shape], bytes };
}

function tensorOf({ dtype, shape, bytes }: SafetensorsEntry): tf.Tensor {
  // A copy, because the view into the file need not be aligned (and not by slice, which Node's Buffer turns into a view).
  const { buffer } = new Uint8Array(bytes);
  if (dtype === "F32") return tf.tensor(new Float32Array(buffer), [...shape], "float32");
  if (dtype === "I32") return tf.tensor(new Int32Array(buffer), [...shape], "int32");
  throw new DgateError("FORMAT", `checkpoint: a tensor has element type ${dtype}, expected F32 or I32.`);
}
