import { expect } from "vitest";
import type { Graph } from "../src/graph/graph.ts";
import { openRunner } from "../src/runtime/open-runner.ts";
import { type Feed, numbersOf, type RunTensor } from "../src/runtime/run-tensor.ts";

export type Outputs = Readonly<Record<string, RunTensor>>;

/** What onnxruntime makes of a model. */
export async function outputsOf(
  model: Graph | Uint8Array,
  feeds: Readonly<Record<string, Feed>>,
): Promise<Outputs> {
  const runner = await openRunner(model, { session: { logSeverityLevel: 4 } });
  try {
    return await runner.run(feeds);
  } finally {
    await runner.dispose();
  }
}

/** The largest difference between two runs, relative to 1 + the expected number; names, types and shapes must be the same. */
export function outputDifference(got: Outputs, expected: Outputs): number {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  let largest = 0;
  for (const [name, before] of Object.entries(expected)) {
    const after = got[name]!;
    expect([name, after.dtype, after.shape]).toEqual([name, before.dtype, before.shape]);
    if (before.dtype === "string") {
      expect(after.data).toEqual(before.data);
      continue;
    }
    const numbers = numbersOf(after);
    numbersOf(before).forEach((number, i) => {
      const difference = Object.is(number, numbers[i])
        ? 0
        : Math.abs(numbers[i]! - number) / (1 + Math.abs(number));
      // Also where one of them is no number.
      largest = difference <= largest ? largest : difference;
    });
  }
  return largest;
}
