import { DgateError } from "@dgate/core";
import type { Runner } from "@dgate/onnx";
import * as tf from "@tensorflow/tfjs";
import type { Examples, Task } from "../data/task.ts";

const ROWS = 500;

/**
 * Fraction of right answers, or R² of a regression.
 *
 * @param outputs `[count, outputs]`: logits, or values
 */
export function score(task: Task, { count, y }: Examples, outputs: ArrayLike<number>): number {
  return task.kind === "classification" ? accuracyOf(y, outputs, task.outputs) : rSquared(y, outputs, count);
}

function accuracyOf(labels: Float32Array, logits: ArrayLike<number>, classes: number): number {
  let right = 0;
  for (let row = 0; row < labels.length; row++) {
    let best = 0;
    for (let c = 1; c < classes; c++) {
      if (logits[row * classes + c]! > logits[row * classes + best]!) best = c;
    }
    if (best === labels[row]) right += 1;
  }
  return right / labels.length;
}

/** 1 − Σ(y − ŷ)² / Σ(y − ȳ)² */
function rSquared(targets: Float32Array, predictions: ArrayLike<number>, count: number): number {
  const mean = targets.reduce((a, b) => a + b, 0) / count;
  let residual = 0;
  let total = 0;
  for (let i = 0; i < count; i++) {
    residual += (targets[i]! - predictions[i]!) ** 2;
    total += (targets[i]! - mean) ** 2;
  }
  return total > 0 ? 1 - residual / total : 0;
}

/** The score of a tfjs model on the test examples. */
export async function scoreModel(
  model: tf.LayersModel,
  task: Task,
  shape: readonly number[],
): Promise<number> {
  const outputs = new Float32Array(task.test.count * task.outputs);
  await inParts(task.test, shape, async (rows, from, count) => {
    const result = tf.tidy(
      () => model.predict(tf.tensor(rows, [count, ...shape]), { batchSize: count }) as tf.Tensor,
    );
    outputs.set(await result.data(), from * task.outputs);
    result.dispose();
  });
  return score(task, task.test, outputs);
}

/** The score of an ONNX model on the test examples, raw rows where the task was standardised. */
export async function scoreRunner(
  runner: Runner,
  task: Task,
  test: Examples,
  shape: readonly number[],
): Promise<number> {
  const [input] = runner.inputs;
  const [output] = runner.outputs;
  if (!input || !output) throw new DgateError("CHECK", "the exported model has no input or no output.");
  const outputs = new Float32Array(test.count * task.outputs);
  await inParts(test, shape, async (rows, from, count) => {
    const results = await runner.run({
      [input.name]: { dtype: "float32", shape: [count, ...shape], data: rows },
    });
    outputs.set(results[output.name]!.data as Float32Array, from * task.outputs);
  });
  return score(task, test, outputs);
}

async function inParts(
  { count, x }: Examples,
  shape: readonly number[],
  work: (rows: Float32Array, from: number, count: number) => Promise<void>,
): Promise<void> {
  const width = shape.reduce((a, b) => a * b, 1);
  for (let from = 0; from < count; from += ROWS) {
    const rows = Math.min(ROWS, count - from);
    await work(x.slice(from * width, (from + rows) * width), from, rows);
  }
}
