import { DgateError } from "@dgate/core";
import { type Graph, inferShapes, readNumbers } from "@dgate/onnx";
import type { InputPlace } from "../export/to-graph.ts";
import { axisIn } from "../export/traced.ts";
import { editLayers, type LayerEntry, type ModelConfig } from "../gating/model-config.ts";
import type { SmallWeight, SmallWeights } from "./read-back.ts";

/** Which axis of which weight gives a size in a layer's config. */
type SizeRow = readonly [field: string, weight: string, axis: number];

/** The sizes that the config of each layer class states; what is not stated follows from the input. */
const sizeRows: Readonly<Record<string, readonly SizeRow[]>> = {
  Dense: [["units", "kernel", 1]],
  Conv1D: [["filters", "kernel", 2]],
  Conv2D: [["filters", "kernel", 3]],
  Conv2DTranspose: [["filters", "kernel", 2]],
  SeparableConv2D: [["filters", "pointwiseKernel", 3]],
  Embedding: [["outputDim", "embeddings", 1]],
};

/** The config flag that gives a layer a weight it did not have. */
const weightFlags: Readonly<Record<string, string>> = { bias: "useBias", beta: "center", gamma: "scale" };

type Shape = readonly (number | null)[];

/** A model config whose sizes are those of the pruned graph. Layers keep their names and all other options. */
export function smallConfig(
  config: ModelConfig,
  pruned: Graph,
  weights: SmallWeights,
  inputs: ReadonlyMap<string, InputPlace>,
): ModelConfig {
  const shapes = inputShapes(pruned, inputs);
  const nodes = new Map(pruned.nodes().map((node) => [node.name, node]));
  return editLayers(config, (entry, path) => {
    const changes = { ...sizes(entry, path, weights), ...inputSize(entry, path, shapes) };
    const target = entry.className === "Reshape" ? nodes.get(path)?.inputs[1]?.data : undefined;
    const reshaped = target ? { targetShape: Array.from(readNumbers(target)).slice(1) } : {};
    return { ...entry, config: { ...entry.config, ...changes, ...reshaped } };
  });
}

function sizes(entry: LayerEntry, path: string, weights: SmallWeights): Record<string, unknown> {
  const named = weights.get(path) ?? new Map<string, SmallWeight>();
  const changes: Record<string, unknown> = {};
  for (const [field, weight, axis] of sizeRows[entry.className] ?? []) {
    const size = named.get(weight)?.shape[axis];
    if (size !== undefined) changes[field] = size;
  }
  for (const [weight, { made }] of named) {
    const flag = weightFlags[weight];
    if (!made) continue;
    if (!flag) throw new Error(`unreachable: no flag for a made weight ${weight}`);
    changes[flag] = true;
  }
  return changes;
}

/** Shapes of all model inputs in tfjs's order of axes, as far as they are known. */
function inputShapes(pruned: Graph, inputs: ReadonlyMap<string, InputPlace>): ReadonlyMap<string, Shape> {
  const { types } = inferShapes(pruned);
  const shapes = new Map<string, Shape>();
  for (const [path, { value, layout }] of inputs) {
    const here = pruned.value(value.name);
    const shape = here && types.get(here)?.shape;
    if (!shape) continue;
    const ordered = shape.map((_, axis) => shape[axisIn(layout, axis, shape.length)]);
    shapes.set(
      path,
      ordered.map((size) => (typeof size === "number" ? size : null)),
    );
  }
  return shapes;
}

/** `batchInputShape` of an InputLayer, or of the first layer of a Sequential model, whose input is `${layer}_input`. */
function inputSize(
  entry: LayerEntry,
  path: string,
  shapes: ReadonlyMap<string, Shape>,
): Record<string, unknown> {
  const before = entry.config["batchInputShape"];
  // In a Sequential that starts with a model, that model's input is the input of the whole.
  const names = [path, `${path}_input`, entry.config.name, `${entry.config.name}_input`];
  const name = names.find((candidate) => shapes.has(candidate));
  const shape = name !== undefined && shapes.get(name);
  if (!Array.isArray(before) || !shape) return {};
  if (before.length !== shape.length) {
    throw new DgateError(
      "SHAPE",
      `shrink: layer "${path}" takes [${before.join(", ")}] but the pruned graph has [${shape.join(", ")}] there.`,
    );
  }
  // What was open stays open: the batch, and sizes that the user left to the data.
  return { batchInputShape: before.map((size, axis) => (typeof size === "number" ? shape[axis] : size)) };
}
