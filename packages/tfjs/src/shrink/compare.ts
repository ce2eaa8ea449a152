import { randomGenerator } from "@dgate/core";
import type { Graph, Value } from "@dgate/onnx";
import * as tf from "@tensorflow/tfjs";
import type { InputSelection } from "../export/to-graph.ts";

export interface CompareOptions {
  readonly batch?: number;
  readonly seed?: number;
  /** Features of the full inputs that `small` takes. */
  readonly select?: readonly InputSelection[];
}

/**
 * The largest difference between the outputs of two models on one random batch: `small` gets the selected features of
 * what `full` gets.
 *
 * @param graph the graph of `full`, which tells what indices its embeddings take
 * @returns the difference, absolute and relative to the largest output (at least one)
 */
export async function compareModels(
  full: tf.LayersModel,
  small: tf.LayersModel,
  graph: Graph,
  { batch = 2, seed = 0, select = [] }: CompareOptions = {},
): Promise<{ maxAbsDiff: number; relative: number }> {
  const inputs = randomBatch(full, graph, batch, seed);
  const selected = full.inputNames.map((name, i) => {
    const choice = select.find((selection) => selection.name === name);
    return choice ? tf.gather(inputs[i]!, [...choice.kept], choice.axis) : inputs[i]!;
  });
  const [expected, actual] = [predict(full, inputs), predict(small, selected)];
  let maxAbsDiff = 0;
  let scale = 1;
  for (const [i, tensor] of expected.entries()) {
    const [values, others] = [await tensor.data(), await actual[i]!.data()];
    values.forEach((value, j) => {
      scale = Math.max(scale, Math.abs(value));
      const difference = Math.abs(value - others[j]!);
      // Written so that NaN counts as the largest difference.
      if (!(difference <= maxAbsDiff)) maxAbsDiff = Number.isNaN(difference) ? Infinity : difference;
    });
  }
  tf.dispose([...inputs, ...selected, ...expected, ...actual]);
  return { maxAbsDiff, relative: maxAbsDiff / scale };
}

function predict(model: tf.LayersModel, inputs: tf.Tensor[]): tf.Tensor[] {
  const outputs = model.predict(inputs);
  return Array.isArray(outputs) ? outputs : [outputs];
}

/** Standard normal inputs, whole numbers where an embedding looks them up. Open sizes become 32. */
function randomBatch(model: tf.LayersModel, graph: Graph, batch: number, seed: number): tf.Tensor[] {
  const random = randomGenerator(seed);
  return model.inputs.map((input, i) => {
    const shape = input.shape.map((size, axis) => size ?? (axis === 0 ? batch : 32));
    const rows = tableRows(graph, graph.value(model.inputNames[i]!));
    const draw = (): number => (rows === undefined ? random.normal() : random.integer(rows));
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, draw);
    return tf.tensor(values, shape, input.dtype);
  });
}

/** Operators that hand indices on. */
const carriers = new Set(["Cast", "Flatten", "Gather", "Identity", "Reshape", "Transpose"]);

/** Rows of the smallest table that values derived from `value` index; `undefined` if they index none. */
function tableRows(graph: Graph, value: Value | undefined): number | undefined {
  if (!value) return undefined;
  const rows = graph.uses(value).flatMap(({ node, index }) => {
    if (!node || !carriers.has(node.op)) return [];
    const table = node.op === "Gather" && index === 1 ? node.inputs[0]?.data?.shape[0] : undefined;
    if (table !== undefined) return [table];
    return tableRows(graph, node.outputs[0]) ?? [];
  });
  return rows.length > 0 ? Math.min(...rows) : undefined;
}
