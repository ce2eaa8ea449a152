import { type Feed, type Graph, numbersOf, openRunner } from "@dgate/onnx";
import { type Batch, crossEntropy, type Loss, meanSquaredError, sgd, warmupCosine } from "@dgate/onnx/train";
import { epochBatches } from "../training/epoch-batches.ts";
import type { Task } from "../training/task.ts";
import { scaled, scaleOf, stratifiedSplit } from "./split.ts";
import type { Table } from "./tables.ts";

/** Rows for a model. */
export interface Rows {
  readonly count: number;
  /** `[count, features]`. */
  readonly x: Float32Array;
  /** A class or a number of each. */
  readonly y: Float32Array;
}

/** Rows to train on and others to score with. */
export interface TableData {
  readonly features: number;
  readonly train: Rows;
  readonly test: Rows;
  /** What a difference of 1 is in the unit of the target. */
  readonly unit: number;
}

/**
 * Splits a table by a seed, with the same part of the rows of each target in the test. Features, and a target that is a number, are shifted and scaled to
 * mean 0 and deviation 1 of the rows to train on.
 */
export function splitTable(
  { rows, targets }: Table,
  {
    target,
    testPart,
    seed,
  }: { readonly target: TargetKind; readonly testPart: number; readonly seed: number },
): TableData {
  const { train, test } = stratifiedSplit(targets, testPart, seed);
  const scales = rows[0]!.map((_, j) => scaleOf(train.map((row) => rows[row]![j]!)));
  const ofTarget =
    target === "class" ? { mean: 0, deviation: 1 } : scaleOf(train.map((row) => targets[row]!));
  const chosen = (indices: readonly number[]): Rows => ({
    count: indices.length,
    x: Float32Array.from(indices.flatMap((row) => rows[row]!.map((value, j) => scaled(value, scales[j]!)))),
    y: Float32Array.from(indices, (row) => scaled(targets[row]!, ofTarget)),
  });
  return { features: scales.length, train: chosen(train), test: chosen(test), unit: ofTarget.deviation };
}

/** What a model tells of a row. */
type TargetKind = "class" | "number";

interface Target {
  readonly loss: Loss;
  readonly feed: (values: Float32Array) => Batch;
  /** @param outputs of the model, `[rows, classes]` or `[rows, 1]` */
  readonly score: (outputs: Float32Array, values: Float32Array, unit: number) => number;
}

const targetKinds: Readonly<Record<TargetKind, Target>> = {
  class: {
    loss: crossEntropy(),
    feed: (values) => ({ labels: { data: [...values], shape: [values.length] } }),
    score: accuracyOf,
  },
  number: {
    loss: meanSquaredError(),
    feed: (values) => ({ targets: { data: values, shape: [values.length, 1] } }),
    score: (outputs, values, unit) =>
      unit * Math.sqrt(values.reduce((sum, value, i) => sum + (outputs[i]! - value) ** 2, 0) / values.length),
  },
};

/** Fraction of rows whose largest logit is that of their class. */
function accuracyOf(logits: Float32Array, labels: Float32Array): number {
  const classes = logits.length / labels.length;
  const right = labels.filter((label, row) => {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    return scores.indexOf(Math.max(...scores)) === label;
  });
  return right.length / labels.length;
}

/** What a model of a table is trained with. */
interface TableTaskOptions extends Pick<Task, "build" | "gate" | "fanIn"> {
  readonly data: TableData;
  readonly target: TargetKind;
  readonly epochs: number;
  readonly batch: number;
  readonly rate: number;
}

/** SGD with momentum 0.9, the rate up over the first sixteenth of the steps, held until 70 % of them, then half a cosine to 0. */
export function tableTask({ data, target, epochs, batch, rate, ...rest }: TableTaskOptions): Task {
  const { features, train, test, unit } = data;
  const { loss, feed, score } = targetKinds[target];
  const batchOf = ({ x, y }: Rows, rows: ArrayLike<number>): Batch & { readonly input: Feed } => {
    const picked = new Float32Array(rows.length * features);
    Array.from(rows).forEach((row, i) =>
      picked.set(x.subarray(row * features, (row + 1) * features), i * features),
    );
    return {
      input: { data: picked, shape: [rows.length, features] },
      ...feed(Float32Array.from(rows, (row) => y[row]!)),
    };
  };
  const batches = (size: number) => epochBatches(train.count, size, (rows) => batchOf(train, rows));
  return {
    ...rest,
    recordKept: true,
    loss,
    batches: batches(batch),
    steps: epochs * Math.floor(train.count / batch),
    optimizer: () => sgd({ momentum: 0.9 }),
    learningRate: warmupCosine(rate, { warmup: 1 / 16, hold: 0.7 - 1 / 16 }),
    async score(graph: Graph) {
      const runner = await openRunner(graph, { threads: 1 });
      const input = { data: test.x, shape: [test.count, features] };
      const outputs = numbersOf((await runner.run({ input }))[graph.outputs[0]!.name]!);
      await runner.dispose();
      return score(Float32Array.from(outputs), test.y, unit);
    },
    calibration: (seed) => {
      const some = batches(16)(seed)(0);
      return Array.from({ length: 64 }, () => some.next().value!);
    },
    example: {
      input: batchOf(
        test,
        Array.from({ length: 16 }, (_, i) => i),
      ).input,
    },
    dims: { batch: 1 },
  };
}
