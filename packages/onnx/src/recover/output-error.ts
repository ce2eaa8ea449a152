import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { writeModel } from "../io/write.ts";
import type { KeptInput } from "../prune/prune.ts";
import { openRunner, type Runner, type RunnerOptions } from "../runtime/open-runner.ts";
import { numbersOf, type RunTensor } from "../runtime/run-tensor.ts";
import { type Batches, keptFeatures } from "./batches.ts";
import { relativeError } from "./fit-layer.ts";

/** Models to compare with the dense one. */
export interface Compared {
  readonly dense: Graph;
  readonly before: Graph;
  readonly after: Graph;
  readonly inputs: readonly KeptInput[];
}

/** Relative squared errors of all floating-point outputs together. */
export interface OutputErrors {
  readonly outputErrorBefore: number;
  readonly outputErrorAfter: number;
}

/** Runs the three models on each set of batches and sums up how far the outputs are from the dense ones. */
export async function compareOutputs(
  { dense, before, after, inputs }: Compared,
  sets: readonly Batches[],
  options: RunnerOptions,
  onBatch: () => void,
): Promise<OutputErrors[]> {
  const runners: Runner[] = [];
  try {
    for (const graph of [dense, before, after]) runners.push(await openRunner(writeModel(graph), options));
    const errors: OutputErrors[] = [];
    for (const batches of sets) {
      const sums = [new SquaredError(), new SquaredError()];
      await batches.each(async (batch) => {
        const expected = await runners[0]!.run(batch);
        const feeds = keptFeatures(batch, dense, inputs);
        for (const [i, sum] of sums.entries()) sum.add(expected, await runners[i + 1]!.run(feeds));
        onBatch();
      });
      const [outputErrorBefore, outputErrorAfter] = sums.map((sum) => sum.relative());
      errors.push({ outputErrorBefore: outputErrorBefore!, outputErrorAfter: outputErrorAfter! });
    }
    return errors;
  } finally {
    for (const runner of runners) await runner.dispose();
  }
}

class SquaredError {
  #error = 0;
  #energy = 0;

  add(expected: Readonly<Record<string, RunTensor>>, found: Readonly<Record<string, RunTensor>>): void {
    for (const [name, tensor] of Object.entries(expected)) {
      const other = found[name];
      if (!other || other.shape.join() !== tensor.shape.join()) {
        throw new DgateError(
          "CHECK",
          `recover: output "${name}" is [${tensor.shape.join(", ")}] in the dense model and ` +
            `${other ? `[${other.shape.join(", ")}]` : "missing"} in the pruned one. Was that made from this one?`,
        );
      }
      if (!tensor.dtype.includes("float")) continue;
      const [right, left] = [numbersOf(tensor), numbersOf(other)];
      for (let i = 0; i < right.length; i++) {
        // Where the dense model itself is not finite (a masked score), nothing can be measured.
        if (!Number.isFinite(right[i])) continue;
        this.#error += (left[i]! - right[i]!) ** 2;
        this.#energy += right[i]! ** 2;
      }
    }
  }

  relative(): number {
    return relativeError(this.#error, this.#energy);
  }
}
