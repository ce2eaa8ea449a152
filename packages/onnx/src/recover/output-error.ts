import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { writeModel } from "../io/write.ts";
import type { Tensor } from "../graph/tensor.ts";
import { readNumbers } from "../io/tensor-data.ts";
import type { PruneReport } from "../prune/prune.ts";
import { openRunner, type Runner, type RunnerOptions } from "../runtime/open-runner.ts";
import { constantOf, type RunTensor } from "../runtime/run-tensor.ts";
import { reduce } from "../verify/verify.ts";
import { type Batches, keptFeatures } from "./batches.ts";
import { relativeError } from "./fit-layer.ts";

/** Models to compare with the dense one. */
export interface Compared {
  readonly dense: Graph;
  readonly before: Graph;
  readonly after: Graph;
  readonly report: Pick<PruneReport, "inputs" | "outputs">;
}

/** Relative squared errors of all floating-point outputs together. */
export interface OutputErrors {
  readonly outputErrorBefore: number;
  readonly outputErrorAfter: number;
}

/** Runs the three models on each set of batches and sums up how far the outputs are from the dense ones. */
export async function compareOutputs(
  { dense, before, after, report }: Compared,
  sets: readonly Batches[],
  options: RunnerOptions,
  onBatch: (batches: number) => void,
): Promise<OutputErrors[]> {
  const runners: Runner[] = [];
  try {
    for (const graph of [dense, before, after]) runners.push(await openRunner(writeModel(graph), options));
    const errors: OutputErrors[] = [];
    let done = 0;
    for (const batches of sets) {
      const sums = [new SquaredError(), new SquaredError()];
      await batches.each(async (batch) => {
        const whole = constants(await runners[0]!.run(batch));
        // Caches of a decoder shrink with its heads.
        const expected = whole.map(([name, tensor]) => [name, reduce(name, tensor, report.outputs)] as const);
        const feeds = keptFeatures(batch, dense, report.inputs);
        for (const [i, sum] of sums.entries()) sum.add(expected, await runners[i + 1]!.run(feeds));
        onBatch(++done);
      });
      const [outputErrorBefore, outputErrorAfter] = sums.map((sum) => sum.relative());
      errors.push({ outputErrorBefore: outputErrorBefore!, outputErrorAfter: outputErrorAfter! });
    }
    return errors;
  } finally {
    for (const runner of runners) await runner.dispose();
  }
}

const constants = (tensors: Readonly<Record<string, RunTensor>>): (readonly [string, Tensor])[] =>
  Object.entries(tensors).map(([name, tensor]) => [name, constantOf(tensor)]);

class SquaredError {
  #error = 0;
  #energy = 0;

  add(expected: readonly (readonly [string, Tensor])[], found: Readonly<Record<string, RunTensor>>): void {
    for (const [name, tensor] of expected) {
      const other = found[name];
      if (!other || other.shape.join() !== tensor.shape.join()) {
        throw new DgateError(
          "CHECK",
          `recover: output "${name}" is expected as [${tensor.shape.join(", ")}] and ` +
            `${other ? `[${other.shape.join(", ")}]` : "missing"} in the pruned model. Was that made from the dense one?`,
        );
      }
      if (tensor.dtype.includes("float")) this.#compare(readNumbers(tensor), readNumbers(constantOf(other)));
    }
  }

  #compare(expected: ArrayLike<number>, found: ArrayLike<number>): void {
    for (let i = 0; i < expected.length; i++) {
      // Where the dense model itself is not finite (a masked score), nothing can be measured.
      if (!Number.isFinite(expected[i])) continue;
      this.#error += (found[i]! - expected[i]!) ** 2;
      this.#energy += expected[i]! ** 2;
    }
  }

  relative(): number {
    return relativeError(this.#error, this.#energy);
  }
}
