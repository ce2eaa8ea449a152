import { DgateError, randomGenerator } from "@dgate/core";
import type { Graph } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { type EncodedData, type EncodedExample, encodeExamples, type EncodeOptions } from "../data/encode.ts";
import type { Example } from "../data/example.ts";
import { checkVocabulary, inBatches, lengthOf } from "../data/feeds.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import { type FirstStep, firstStep } from "../decoder/first-step.ts";
import { plainDecoder } from "../decoder/plain-decoder.ts";
import type { HeadGates } from "../head-gates.ts";
import type { KeptGroups } from "../prune/choose-groups.ts";
import { dimsOf } from "../prune/dims.ts";
import type { OpenedModel } from "../source/open-model.ts";
import type { LearnOptions } from "./learn-options.ts";
import { checkLabels, objectiveOf, type TrainedObjective } from "./objective.ts";
import type { PhaseOptions } from "./phases.ts";
import { Scorer } from "./score.ts";
import { endlessBatches, type SplitData, splitData } from "./training-data.ts";

/** Everything that learning needs of model and data. */
export interface Task {
  readonly part: GatedPart;
  /** The graph that is trained, and the way back from it. */
  readonly plain: FirstStep;
  /** The dense model, which teaches and is compared with. */
  readonly dense: Graph;
  /** Where learning starts: the dense model, or what an earlier run has made of it. */
  readonly start: Graph;
  readonly blocks: readonly GatedBlock[];
  /** Groups that may stay. */
  readonly left: KeptGroups;
  readonly encoded: EncodedData;
  readonly split: SplitData;
  readonly objective: TrainedObjective;
  readonly padId: number;
  readonly scorer: Scorer;
  readonly phase: Omit<PhaseOptions, "onStep">;
  /** Sizes that multiply–adds are counted for. */
  readonly dims: Readonly<Record<string, number>>;
}

/**
 * Finds the file to learn, encodes and splits the data, and sets up loss, scores and batches.
 *
 * @throws DgateError `UNSUPPORTED` for a model of several files or weights of codes, and as encoding and the objective
 */
export async function prepareTask(
  gates: HeadGates,
  data: readonly Example[],
  options: LearnOptions,
): Promise<Task> {
  const { model, runtime, threads, depth } = gates.internals;
  const { train = "gates", signal, seed = 1, batchSize = 16 } = options;
  const part = learnablePart(gates, train);
  const gated = part.blocks.filter((block) => gates.table(block).of(block.name));
  const plain = firstStep({ graph: part.graph, blocks: gated }, "learn");
  const start = plain.graph;
  const dense = part.graph === part.dense ? start : plainDecoder(part.dense).graph;
  const { blocks } = plain;
  const encoded = await encodeExamples(model, data, encoding(options));
  const generator = randomGenerator(seed);
  const random = (): number => generator.next();
  const split = await splitExamples(model, encoded.examples, options, random);
  checkVocabulary(dense, [...split.training, ...split.heldOut]);
  const objective = objectiveOf(dense, model.kind, encoded.examples, options.objective);
  if (objective.labels !== undefined) checkLabels(split.heldOut, heldOutNoun);
  const padId = model.pipeline.tokenizer?.pad_token_id ?? 0;
  const scorer = new Scorer(objective, scoredBatches(dense, objective, split.heldOut, batchSize), padId, {
    engine: runtime.engine,
    threads,
    ...(signal && { signal }),
  });
  const phase: Omit<PhaseOptions, "onStep"> = {
    objective,
    blocks,
    teacher: objective.prepare(dense),
    train,
    depth,
    learningRate: options.learningRate ?? 1e-4,
    gateRate: options.gateRate ?? (train === "gates" ? 0.1 : 5e-2),
    engine: { ...runtime.trainer, threads },
    batches: endlessBatches(dense, split.training, { batchSize, padId, labels: objective.labels, random }),
    signal,
  };
  const dims = dimsOf(dense, model.config, options.dims);
  const left = leftGroups(gates, part, blocks);
  return { part, plain, dense, start, blocks, left, encoded, split, objective, padId, scorer, phase, dims };
}

/** Most numbers that a model gives for a batch that is scored: those of a language model are as many as tokens times vocabulary. */
const mostNumbers = 2 ** 24;

function scoredBatches(
  graph: Graph,
  { output }: TrainedObjective,
  examples: readonly EncodedExample[],
  batchSize: number,
): EncodedExample[][] {
  const width = graph.value(output)?.type?.shape?.at(-1);
  const longest = Math.max(1, ...examples.map(lengthOf));
  const fitting = typeof width === "number" ? Math.floor(mostNumbers / (width * longest)) : batchSize;
  return inBatches(examples, Math.max(1, Math.min(batchSize, fitting)));
}

/** Groups to learn from: all, but those whose weights an earlier run has turned off. Gates begin at one, whatever they were. */
function leftGroups(gates: HeadGates, part: GatedPart, blocks: readonly GatedBlock[]): KeptGroups {
  const isLearned = part.graph !== part.dense;
  return new Map(
    blocks.map((block) => {
      const values = gates.table(block).of(block.name)!; // a block with gates
      return [block.name, [...values.keys()].filter((group) => !isLearned || values[group] !== 0)];
    }),
  );
}

const encoding = ({ maxLength, signal }: LearnOptions): EncodeOptions => {
  return { ...(maxLength !== undefined && { maxLength }), ...(signal && { signal }) };
};

/** What examples of the caller's own list of held-out ones are called in messages: they are counted on their own. */
const heldOutNoun = "held-out example";

/** Held-out examples of the caller's, or a part of the data. */
async function splitExamples(
  model: OpenedModel,
  examples: readonly EncodedExample[],
  options: LearnOptions,
  random: () => number,
): Promise<SplitData> {
  const { heldOut } = options;
  if (typeof heldOut !== "object") return splitData(examples, heldOut, random);
  const own = await encodeExamples(model, heldOut, { ...encoding(options), noun: heldOutNoun });
  return { training: examples, heldOut: own.examples };
}

/** The file that is learned: of an encoder and a decoder neither alone has what the other gives. */
function learnablePart(gates: HeadGates, train: NonNullable<LearnOptions["train"]>): GatedPart {
  const parts = gates.internals.parts.filter(({ live }) => live);
  if (gates.internals.model.kind.output === "seq2seq" || parts.length !== 1) {
    throw new DgateError(
      "UNSUPPORTED",
      `learn: the model has ${gates.internals.parts.length} files (${gates.internals.parts.map(({ file }) => file).join(", ")}), and models of one file are learned; ` +
        'prune it by importances: prune({ keep: 0.75, scores: await gates.importance("l2") }).',
    );
  }
  const part = parts[0]!; // there is one
  if (!part.quantized || train === "gates") return part;
  throw new DgateError(
    "UNSUPPORTED",
    `learn: ${part.source.path} holds integer codes, which are cut as they are and not trained; leave train at "gates", or open the float file: { dtype: "fp32" }.`,
  );
}
