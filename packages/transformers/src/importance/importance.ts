import { DgateError, randomGenerator } from "@dgate/core";
import type { GatedBlock } from "../blocks/block.ts";
import { type EncodedExample, encodeExamples } from "../data/encode.ts";
import type { Example } from "../data/example.ts";
import { checkVocabulary, shuffled } from "../data/feeds.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import type { HeadGates } from "../head-gates.ts";
import { checkKnown, type KnownOptions } from "../known-options.ts";
import type { Objective } from "../learn/learn-options.ts";
import { objectiveOf } from "../learn/objective.ts";
import type { Scores } from "../prune/choose-groups.ts";
import { firstStep } from "../decoder/first-step.ts";
import { gradientScores } from "./gradient.ts";
import { l2Scores } from "./l2.ts";
import { layerNormalised } from "./layer-normalised.ts";
import { lossOf } from "./prediction-loss.ts";
import { randomScores } from "./random.ts";
import type { ScoringContext } from "./scoring-context.ts";
import { wandaScores } from "./wanda.ts";

/**
 * How groups are scored without learning: the norm of their weights (`l2`), the gradient of a loss with respect to their gates (`gradient`, Michel
 * et al. 2019), weights times activations (`wanda`, Sun et al. 2023), or by chance (`random`).
 */
export type ImportanceMethod = "l2" | "gradient" | "wanda" | "random";

/** What `importance` tells while it works. */
export interface ImportanceProgress {
  readonly method: ImportanceMethod;
  /** Examples done, over all files of the model, and in all. */
  readonly step: number;
  readonly steps: number;
}

/** Options of `HeadGates.importance`. */
export interface ImportanceOptions {
  /** Seed of `random`, of the choice of examples, and of the directions of `gradient` on hidden states (default 0). */
  readonly seed?: number;
  /** What `gradient` differentiates (default `distill`): see `gradientScores` and `lossOf`. */
  readonly objective?: Objective;
  /** Most examples of a run of `wanda` (default 8). Those of a run are of equal length, so that nothing is padded; `gradient` takes them one by one. */
  readonly batchSize?: number;
  /** Longest example in tokens; longer ones are cut. */
  readonly maxLength?: number;
  /** Most examples that are used (default 128), chosen by the seed. */
  readonly examples?: number;
  /** Divides the scores of every layer by their ℓ2 norm, as Michel et al. do (default false). */
  readonly normalise?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ImportanceProgress) => void;
}

const methods: readonly string[] = ["l2", "gradient", "wanda", "random"] satisfies ImportanceMethod[];

/**
 * Scores of all groups that have gates, of the model with all gates at one; larger is more important. Scores of one method compare over the
 * layers of one kind of groups, not over kinds.
 *
 * @returns by block name one number ≥ 0 per group
 * @throws DgateError `OPTION` for options out of range, `DATA` for data that the method needs and that is not there (see `encodeExamples`),
 * `CHECK` for a tokenizer of another model, `UNSUPPORTED` for models that `gradient` and `wanda` cannot run on, `ABORTED`
 */
export async function importanceOf(
  gates: HeadGates,
  method: ImportanceMethod,
  data: readonly Example[] = [],
  options: ImportanceOptions = {},
): Promise<Scores> {
  checkOptions(method, options);
  const scores = new Map<string, Float64Array>();
  const add = (found: Scores): void => found.forEach((values, name) => scores.set(name, values));
  const parts = gates.internals.parts.flatMap((part) => {
    const blocks = part.blocks.filter(({ name }) => gates.gatesOf(part).has(name));
    return blocks.length > 0 ? [{ part, blocks }] : [];
  });
  if (method === "l2") for (const { part, blocks } of parts) add(l2Scores(part.graph, blocks));
  else if (method === "random")
    add(
      randomScores(
        parts.flatMap(({ blocks }) => blocks),
        options.seed ?? 0,
      ),
    );
  else for (const found of await scoresFromData(gates, parts, method, data, options)) add(found);
  return options.normalise ? layerNormalised(scores) : scores;
}

interface ScoredPart {
  readonly part: GatedPart;
  readonly blocks: readonly GatedBlock[];
}

async function scoresFromData(
  gates: HeadGates,
  parts: readonly ScoredPart[],
  method: "gradient" | "wanda",
  data: readonly Example[],
  options: ImportanceOptions,
): Promise<Scores[]> {
  const { model, runtime, threads } = gates.internals;
  const { seed = 0, batchSize = 8, signal, onProgress } = options;
  if (model.kind.output === "seq2seq") {
    throw new DgateError(
      "UNSUPPORTED",
      `importance: "${method}" runs models of one file, and this one has an encoder and a decoder; take "l2" or "random".`,
    );
  }
  const examples = await chosenExamples(gates, data, options);
  for (const { part } of parts) checkVocabulary(part.graph, examples);
  let done = 0;
  const context: ScoringContext = {
    engine: { ...runtime.engine, threads },
    seed,
    ...(signal && { signal }),
    onExamples: (count) =>
      onProgress?.({ method, step: (done += count), steps: parts.length * examples.length }),
  };
  const found: Scores[] = [];
  for (const { part, blocks: all } of parts) {
    const { graph, blocks } = firstStep({ graph: part.graph, blocks: all }, "importance");
    if (method === "wanda") {
      found.push(await wandaScores(graph, blocks, examples, { ...context, batchSize }));
      continue;
    }
    const objective = objectiveOf(graph, model.kind, examples, options.objective);
    const loss = lossOf(objective, model.kind);
    found.push(await gradientScores(graph, blocks, examples, { ...context, loss }));
  }
  return found;
}

/** At most `examples` of the data, encoded; which ones is decided by the seed. */
async function chosenExamples(
  { internals: { model } }: HeadGates,
  data: readonly Example[],
  { seed = 0, examples = 128, maxLength, signal }: ImportanceOptions,
): Promise<readonly EncodedExample[]> {
  const common = {
    where: "importance",
    ...(maxLength !== undefined && { maxLength }),
    ...(signal && { signal }),
  };
  if (!Array.isArray(data) || data.length <= examples)
    return (await encodeExamples(model, data, common)).examples;
  const random = randomGenerator(seed);
  const positions = shuffled([...data.keys()], () => random.next()).slice(0, examples);
  const chosen = positions.map((at) => data[at]!);
  return (await encodeExamples(model, chosen, { ...common, positions })).examples;
}

const known: KnownOptions<ImportanceOptions> = {
  seed: true,
  objective: true,
  batchSize: true,
  maxLength: true,
  examples: true,
  normalise: true,
  signal: true,
  onProgress: true,
};

function checkOptions(method: string, options: ImportanceOptions): void {
  checkKnown("importance", options, known);
  const { seed, batchSize, maxLength, examples } = options;
  if (!methods.includes(method)) {
    throw new DgateError(
      "OPTION",
      `importance: method is "${method}", expected one of ${methods.join(", ")}.`,
    );
  }
  for (const [name, value] of Object.entries({ batchSize, maxLength, examples })) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) continue;
    throw new DgateError("OPTION", `importance: ${name} is ${value}, expected a whole number of at least 1.`);
  }
  if (seed !== undefined && !Number.isSafeInteger(seed)) {
    throw new DgateError("OPTION", `importance: seed is ${seed}, expected a whole number.`);
  }
}
