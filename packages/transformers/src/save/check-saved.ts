import { DgateError } from "@dgate/core";
import { type Graph, isQuantized, numbersOf, openRunner, quantizedBound, type RunTensor } from "@dgate/onnx";
import type { LibraryPipeline } from "../library/library.ts";
import { sessionSlots } from "../library/session-slots.ts";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import type { Dtype } from "../source/dtype.ts";
import { modelFiles } from "../source/model-files.ts";
import { openPipeline } from "../source/open-pipeline.ts";
import { type RecordedRun, RecordingSession } from "./recording-session.ts";
import { sampleInput } from "./sample-input.ts";
import type { SaveCheck } from "./save-options.ts";

/**
 * Opens a written folder by the user's own transformers.js, calls the pipeline once, and compares what its sessions gave with what the pruned
 * model in memory gives for the same inputs.
 *
 * @throws DgateError `CHECK` if it does not open, does not run, or gives something else
 */
export async function checkSaved(
  pruned: PrunedTransformer,
  folder: string,
  dtype: Dtype,
  sample: readonly unknown[] | undefined,
): Promise<SaveCheck> {
  const { library, model } = pruned.gates.internals;
  const failure = (what: string, cause: unknown): DgateError =>
    new DgateError(
      "CHECK",
      `save: the ${dtype} files that were written do not ${what} in transformers.js ${library.version}: ${reasonOf(cause)}. Nothing was left behind.`,
      { cause },
    );
  const pipeline = await openPipeline(library, modelFiles(library, folder), model.kind.task, {
    dtype,
    localFilesOnly: true,
  }).catch((cause: unknown) => {
    throw failure("open", cause);
  });
  try {
    const recorders = record(pipeline);
    const input = sample ?? sampleInput(library, model.kind, pipeline);
    await pipeline(...input).catch((cause: unknown) => {
      throw failure("run", cause);
    });
    const differences = [];
    for (const [file, { runs }] of recorders) differences.push(await replay(pruned, file, runs));
    return judged(pruned, dtype, differences);
  } finally {
    await pipeline.dispose?.();
  }
}

/** Puts a recorder in the place of every session. */
function record({ model }: LibraryPipeline): Map<string, RecordingSession> {
  return new Map(
    sessionSlots(model).map((slot) => {
      const recorder = new RecordingSession(slot.get());
      slot.set(recorder);
      return [slot.file, recorder];
    }),
  );
}

/** How far runs are from those of the graph in memory. */
interface Difference {
  readonly runs: number;
  readonly maxAbsDiff: number;
  readonly maxRelDiff: number;
}

async function replay(
  pruned: PrunedTransformer,
  file: string,
  runs: readonly RecordedRun[],
): Promise<Difference> {
  const own = pruned.files.find(({ part }) => part.source.slot.file === file) ?? pruned.files[0]!;
  const runner = await openRunner(own.graph, pruned.gates.internals.runtime.engine);
  try {
    let [maxAbsDiff, maxRelDiff] = [0, 0];
    for (const { feeds, outputs } of runs) {
      const expected = await runner.run(feeds);
      for (const [name, output] of Object.entries(outputs)) {
        const { difference, scale } = distance(expected[name], output);
        maxAbsDiff = Math.max(maxAbsDiff, difference);
        maxRelDiff = Math.max(maxRelDiff, difference === 0 ? 0 : difference / (scale || 1));
      }
    }
    return { runs: runs.length, maxAbsDiff, maxRelDiff };
  } finally {
    await runner.dispose();
  }
}

function distance(
  expected: RunTensor | undefined,
  found: RunTensor,
): { readonly difference: number; readonly scale: number } {
  if (!expected || expected.shape.join() !== found.shape.join()) return { difference: Infinity, scale: 1 };
  const [a, b] = [numbersOf(expected), numbersOf(found)];
  let [difference, scale] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (Number.isFinite(x)) scale = Math.max(scale, Math.abs(x));
    if (Object.is(x, y) || x === y) continue;
    const apart = Math.abs(x - y);
    // A NaN on one side is no small difference.
    difference = Math.max(difference, Number.isNaN(apart) ? Infinity : apart);
  }
  return { difference, scale };
}

/** Files of the model's own type have to compute what the graphs in memory do; those that were quantized only something finite. */
function judged(pruned: PrunedTransformer, dtype: Dtype, differences: readonly Difference[]): SaveCheck {
  const largest = (key: "maxAbsDiff" | "maxRelDiff"): number =>
    Math.max(0, ...differences.map((each) => each[key]));
  const [maxAbsDiff, maxRelDiff] = [largest("maxAbsDiff"), largest("maxRelDiff")];
  const runs = differences.reduce((sum, each) => sum + each.runs, 0);
  const own = dtype === pruned.gates.internals.model.dtype;
  const limit = own ? Math.max(...pruned.files.map(({ graph }) => limitOf(graph, dtype))) : undefined;
  if (runs > 0 && maxRelDiff <= (limit ?? Number.MAX_VALUE)) {
    return { dtype, opened: true, runs, maxAbsDiff, maxRelDiff, ...(limit !== undefined && { limit }) };
  }
  throw new DgateError(
    "CHECK",
    runs === 0
      ? `save: the pipeline that was opened from the ${dtype} files ran none of the model's sessions; nothing was left behind.`
      : `save: the ${dtype} files that were written differ from the pruned model by ${maxAbsDiff.toExponential(2)} (${maxRelDiff.toExponential(2)} ` +
          `of the output's scale), more than ${limit ?? "any finite number"}; nothing was left behind.`,
  );
}

function limitOf(graph: Graph, dtype: Dtype): number {
  if (isQuantized(graph)) return quantizedBound;
  return dtype === "fp16" ? 5e-3 : 1e-4;
}

const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
