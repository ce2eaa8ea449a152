import { randomGenerator } from "@dgate/core";
import type { Table } from "./csv.ts";
import type { Examples, Scaling, Task } from "./task.ts";

/**
 * Makes a task of a table: rows shuffled by the seed, a fifth held out for the test, columns (and the target of a
 * regression) standardised by mean and deviation of the training part.
 */
export function taskFromTable(
  table: Table,
  { name, seed }: { readonly name: string; readonly seed: number },
): Task {
  const { columns, rows, x, target } = table;
  const order = randomGenerator(seed).shuffle(Int32Array.from({ length: rows }, (_, i) => i));
  const held = Math.max(1, Math.round(rows / 5));
  const [testRows, trainRows] = [order.subarray(0, held), order.subarray(held)];
  const width = columns.length;
  const regression = target.kind === "regression";
  const scaling: Scaling = {
    ...momentsOf(trainRows, width, (row, column) => x[row * width + column]!),
    target: regression ? targetMoments(trainRows, target.values) : { mean: 0, deviation: 1 },
  };
  const part = (chosen: Int32Array): Examples => ({
    count: chosen.length,
    x: Float32Array.from({ length: chosen.length * width }, (_, i) => {
      const column = i % width;
      const raw = x[chosen[Math.floor(i / width)]! * width + column]!;
      return (raw - scaling.mean[column]!) / scaling.deviation[column]!;
    }),
    y: Float32Array.from(
      chosen,
      (row) => (target.values[row]! - scaling.target.mean) / scaling.target.deviation,
    ),
  });
  return {
    name,
    kind: target.kind,
    inputShape: [width],
    outputs: target.kind === "classification" ? target.classNames.length : 1,
    train: part(trainRows),
    test: part(testRows),
    columns,
    ...(target.kind === "classification" ? { classNames: target.classNames } : {}),
    scaling,
  };
}

function momentsOf(
  rows: Int32Array,
  width: number,
  at: (row: number, column: number) => number,
): { readonly mean: Float64Array; readonly deviation: Float64Array } {
  const mean = new Float64Array(width);
  const deviation = new Float64Array(width);
  for (let column = 0; column < width; column++) {
    let sum = 0;
    for (const row of rows) sum += at(row, column);
    mean[column] = sum / rows.length;
    let squares = 0;
    for (const row of rows) squares += (at(row, column) - mean[column]!) ** 2;
    // A constant column carries nothing: it becomes zero, not NaN.
    deviation[column] = Math.sqrt(squares / rows.length) || 1;
  }
  return { mean, deviation };
}

function targetMoments(
  rows: Int32Array,
  values: Float64Array,
): { readonly mean: number; readonly deviation: number } {
  const { mean, deviation } = momentsOf(rows, 1, (row) => values[row]!);
  return { mean: mean[0]!, deviation: deviation[0]! };
}
