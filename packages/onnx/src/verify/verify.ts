import { DgateError, type RandomGenerator, randomGenerator } from "@dgate/core";
import { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { readModel } from "../io/read.ts";
import { gatherTensor, readNumbers } from "../io/tensor-data.ts";
import type { KeptInput, PruneReport } from "../prune/prune.ts";
import { printType, shapesFit } from "../runtime/check-feeds.ts";
import { isQuantized } from "../quantization/is-quantized.ts";
import { openRunner, type Runner, type RunnerValue } from "../runtime/open-runner.ts";
import type { OrtModule } from "../runtime/ort-module.ts";
import { constantOf, type RunTensor } from "../runtime/run-tensor.ts";
import { randomInputs } from "./random-inputs.ts";

/** Options of `verify`. */
export interface VerifyOptions {
  /** See `openRunner`. */
  readonly runtime?: "node" | "web";
  readonly threads?: number;
  /** See `openRunner`. */
  readonly ort?: OrtModule;
  /** Number of random inputs (default 3; the batch and other symbolic sizes are 1, 2, 3, 1, …). */
  readonly runs?: number;
  /**
   * Largest difference that counts as equal, relative to the largest output of the first model: by default 1e-4, of models
   * with float16 or bfloat16 weights 5e-3 (the last place of float16 is 1e-3).
   */
  readonly tolerance?: number;
  readonly seed?: number;
  /** Sizes of symbolic dimensions by name, in place of 1, 2, 3, …. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Inputs to run besides the random ones. */
  readonly feeds?: readonly Readonly<Record<string, Tensor>>[];
  /** The report's `inputs`, if inputs of the second model shrank (`inputs: "resize"`, caches of a decoder). */
  readonly inputs?: readonly KeptInput[];
  /** The report's `outputs`, if outputs of the second model shrank (caches of a decoder). */
  readonly outputs?: readonly KeptInput[];
  /** Stops before the next run. */
  readonly signal?: AbortSignal;
}

/** How far two models are apart. */
export interface Verification {
  /** Largest difference of any output element. */
  readonly maxAbsDiff: number;
  /** Largest difference divided by the largest output of the first model, output by output. */
  readonly maxRelDiff: number;
  /** The output where that is. */
  readonly output: string;
  /** Whether `maxRelDiff` is within the tolerance. */
  readonly equal: boolean;
  /** Whether either model rounds values to integers as it runs: see `isQuantized`. */
  readonly quantized: boolean;
  /** Largest `maxRelDiff` with which a pruned model may be written: the tolerance, or `quantizedBound` of quantized models. */
  readonly limit: number;
  /** Whether `maxRelDiff` is within the limit. */
  readonly acceptable: boolean;
  /** The onnxruntime that ran both models. */
  readonly runtime: "node" | "web";
  /** Random runs of a decoder whose filled cache the first model itself refused, so that they went with an empty one. */
  readonly emptiedCaches: number;
}

/**
 * How far two integer-quantized models that compute the same may be apart, relative to the largest output. They are equal to the
 * bit where sums are integers; where a float sum in between differs in its last place, a value can fall into the next of 256
 * steps, 0.4 % of its range, and layers after it add such steps up. A wrong channel differs by the size of the output.
 */
export const quantizedBound = 0.05;

/**
 * Runs two models on the same inputs in onnxruntime and compares all outputs: a masked and a pruned one, say. Inputs are
 * random, made from the first model's own input types.
 *
 * @throws DgateError `SHAPE` if the models do not take the same inputs, `CHECK` if they do not have the same outputs or shapes, `FORMAT` if the runtime refuses one,
 * `OPTION` if there is nothing to run them on, `ABORTED` by the signal
 */
export async function verify(
  first: Graph | Uint8Array,
  second: Graph | Uint8Array,
  options: VerifyOptions = {},
): Promise<Verification> {
  const { runs = 3, seed = 1, dims = {}, feeds = [], inputs = [], outputs = [], signal } = options;
  if (!Number.isSafeInteger(runs) || runs < 0 || runs + feeds.length === 0) {
    throw new DgateError(
      "OPTION",
      `verify: ${runs} random inputs and ${feeds.length} given ones compare nothing; expected runs of at least 1, or feeds.`,
    );
  }
  const graph = first instanceof Graph ? first : readModel(first);
  const quantized = [graph, second].some((model) =>
    isQuantized(model instanceof Graph ? model : readModel(model)),
  );
  const random = randomGenerator(seed);
  const a = await openRunner(first, options);
  try {
    stopIfAborted(signal);
    const b = await openRunner(second, { ...options, runtime: a.runtime });
    try {
      checkInputs(a.inputs, b.inputs, inputs);
      const comparison = new Comparison();
      let emptiedCaches = 0;
      for (let run = 0; run < runs; run++) {
        stopIfAborted(signal);
        const { feeds: drawn, emptied } = await drawInputs(graph, a, random, dims, run);
        if (emptied) emptiedCaches += 1;
        await compare(a, b, drawn, { inputs, outputs }, comparison);
      }
      for (const feed of feeds) await compare(a, b, feed, { inputs, outputs }, comparison);
      const found = comparison.result(options.tolerance ?? defaultTolerance(graph), quantized);
      return { ...found, runtime: a.runtime, emptiedCaches };
    } finally {
      await b.dispose();
    }
  } finally {
    await a.dispose();
  }
}

function defaultTolerance(graph: Graph): number {
  const halves = graph.initializers.some(
    ({ data }) => data?.dtype === "float16" || data?.dtype === "bfloat16",
  );
  return halves ? 5e-3 : 1e-4;
}

/**
 * As `verify`, but a difference is an error: to be called before a pruned model is written. Of integer-quantized models the
 * difference is in the result, and an error past `quantizedBound`.
 *
 * @throws DgateError `CHECK` naming the output and the difference
 */
export async function prove(
  first: Graph | Uint8Array,
  second: Graph | Uint8Array,
  options: VerifyOptions = {},
): Promise<Verification> {
  const found = await verify(first, second, options);
  if (found.acceptable) return found;
  throw new DgateError(
    "CHECK",
    `verify: output "${found.output}" differs by up to ${found.maxAbsDiff.toExponential(2)} (${found.maxRelDiff.toExponential(2)} ` +
      `of its scale), more than ${found.limit}; nothing was written.`,
  );
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new DgateError("ABORTED", "verify: cancelled.", { cause: signal.reason });
}

/**
 * Random inputs of growing size. A decoder gets a cache of growing length too, unless the first model itself refuses it (its
 * masks or position tables are made for another length); then an empty one.
 */
async function drawInputs(
  graph: Graph,
  runner: Runner,
  random: RandomGenerator,
  dims: Readonly<Record<string, number>>,
  run: number,
): Promise<{ readonly feeds: Record<string, Tensor>; readonly emptied: boolean }> {
  const size = 1 + (run % 3);
  const empty = randomInputs(graph, random, dims, size);
  const cached = randomInputs(graph, random, dims, size, size - 1);
  if (Object.entries(cached).every(([name, { shape }]) => shape.join() === empty[name]!.shape.join()))
    return { feeds: empty, emptied: false };
  return runner.run(cached).then(
    () => ({ feeds: cached, emptied: false }),
    () => ({ feeds: empty, emptied: true }),
  );
}

/** Inputs of the same names, types and shapes, but for the features that the second model no longer takes. */
function checkInputs(a: readonly RunnerValue[], b: readonly RunnerValue[], kept: readonly KeptInput[]): void {
  for (const name of new Set([...a, ...b].map((value) => value.name))) {
    const [first, second] = [a, b].map((values) => values.find((value) => value.name === name));
    const cuts = kept.filter((input) => input.name === name && input.mode === "resize");
    const expected = first?.shape?.map((dim, i) => cuts.find(({ axis }) => axis === i)?.kept.length ?? dim);
    const typed = !first?.dtype || !second?.dtype || first.dtype === second.dtype;
    if (first && second && typed && shapesFit(expected, second.shape)) continue;
    throw new DgateError(
      "SHAPE",
      `verify: input "${name}": A takes ${printTaken(first)}, B takes ${printTaken(second)}; compare models with the same ` +
        `inputs, or give { inputs: report.inputs } if B was pruned with inputs: "resize".`,
    );
  }
}

function printTaken(value: RunnerValue | undefined): string {
  return value ? printType(value.dtype, value.shape) : "no such input";
}

async function compare(
  a: Runner,
  b: Runner,
  feeds: Readonly<Record<string, Tensor>>,
  { inputs, outputs }: Pick<PruneReport, "inputs" | "outputs">,
  comparison: Comparison,
): Promise<void> {
  const reduced = Object.fromEntries(
    Object.entries(feeds).map(([name, tensor]) => [name, reduce(name, tensor, inputs)]),
  );
  const [left, right] = [await a.run(feeds), await b.run(reduced)];
  const full = Object.entries(constantsOf(left)).map(
    ([name, tensor]) => [name, reduce(name, tensor, outputs)] as const,
  );
  comparison.add(Object.fromEntries(full), constantsOf(right));
}

const constantsOf = (tensors: Readonly<Record<string, RunTensor>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, constantOf(tensor)]));

/** What is left of an input or output of the first model in the second one. */
export function reduce(name: string, tensor: Tensor, kept: readonly KeptInput[]): Tensor {
  const cuts = kept.filter((each) => each.name === name && each.mode === "resize");
  return cuts.reduce((cut, each) => gatherTensor(cut, each.axis, each.kept), tensor);
}

/** Gathers the largest difference and the largest value of each output. */
class Comparison {
  readonly #outputs = new Map<string, { difference: number; scale: number }>();

  add(a: Readonly<Record<string, Tensor>>, b: Readonly<Record<string, Tensor>>): void {
    const names = Object.keys(a);
    if (names.length !== Object.keys(b).length) {
      throw new DgateError(
        "CHECK",
        `verify: one model has the outputs ${names.join(", ")}, the other ${Object.keys(b).join(", ")}.`,
      );
    }
    for (const name of names) this.#addOutput(name, a[name]!, b[name]);
  }

  #addOutput(name: string, a: Tensor, b: Tensor | undefined): void {
    if (!b || a.shape.join() !== b.shape.join()) {
      throw new DgateError(
        "CHECK",
        `verify: output "${name}" is [${a.shape.join(", ")}] in one model and ${b ? `[${b.shape.join(", ")}]` : "missing"} in the other.`,
      );
    }
    const entry = this.#outputs.get(name) ?? { difference: 0, scale: 0 };
    this.#outputs.set(name, entry);
    const left = readNumbers(a);
    const right = readNumbers(b);
    for (let i = 0; i < left.length; i++) {
      const [x, y] = [left[i]!, right[i]!];
      if (Object.is(x, y)) continue;
      const difference = x === y ? 0 : Math.abs(x - y);
      // Two different infinities, or a NaN on one side, are no small difference.
      entry.difference = Math.max(entry.difference, Number.isNaN(difference) ? Infinity : difference);
    }
    for (const x of left) if (Number.isFinite(x)) entry.scale = Math.max(entry.scale, Math.abs(x));
  }

  result(tolerance: number, quantized: boolean): Omit<Verification, "runtime" | "emptiedCaches"> {
    let [maxAbsDiff, maxRelDiff, output] = [0, 0, ""];
    for (const [name, { difference, scale }] of this.#outputs) {
      const relative = difference === 0 ? 0 : difference / (scale || 1);
      maxAbsDiff = Math.max(maxAbsDiff, difference);
      if (relative >= maxRelDiff) [maxRelDiff, output] = [relative, name];
    }
    const equal = maxRelDiff <= tolerance;
    const limit = quantized ? Math.max(tolerance, quantizedBound) : tolerance;
    return { maxAbsDiff, maxRelDiff, output, equal, quantized, limit, acceptable: maxRelDiff <= limit };
  }
}
