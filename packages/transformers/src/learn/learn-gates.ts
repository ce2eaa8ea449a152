import { DgateError, randomGenerator } from "@dgate/core";
import type { Graph } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { type EncodedExample, encodeExamples } from "../data/encode.ts";
import type { Example } from "../data/example.ts";
import { checkVocabulary, feedsFor, inBatches } from "../data/feeds.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { plainDecoder } from "../decoder/plain-decoder.ts";
import { liveGraph } from "../gates/live-graph.ts";
import type { HeadGates } from "../head-gates.ts";
import { compareLatency } from "../measure/latency.ts";
import type { KeptGroups, Scores } from "../prune/choose-groups.ts";
import { dimsOf } from "../prune/dims.ts";
import { foldLive, prunePart } from "../prune/prune-part.ts";
import type { OpenedModel } from "../source/open-model.ts";
import { checkLearnOptions } from "./check-learn-options.ts";
import type { LearnOptions } from "./learn-options.ts";
import type { LearnReport } from "./learn-report.ts";
import { measureStages } from "./measure-stages.ts";
import { objectiveOf } from "./objective.ts";
import type { PhaseOptions } from "./phases.ts";
import { Progress } from "./progress.ts";
import { inRounds, type Learned } from "./rounds.ts";
import { Scorer } from "./score.ts";
import { fractionForSpeedup } from "./speedup.ts";
import { checkReachable, type ResolvedTarget, resolveTarget } from "./target.ts";
import { endlessBatches, middleExample, type SplitData, splitData } from "./training-data.ts";

/** Neurons of a feed-forward layer are turned off in steps of this number. */
const neuronStep = 8;

/**
 * Learns the gates of a model from data, and turns off what falls short of the target.
 *
 * A round trains with the penalty while λ grows, until no more groups are alive than the target allows; ranks all groups by what is left of them;
 * turns the weakest off; sets the gates of the others back, and trains them on without penalty. Afterwards the gates are in the tables (where the
 * weights are frozen) or in the weights.
 *
 * @throws DgateError `OPTION`, `DATA`, `CHECK` for a tokenizer of another model, `UNSUPPORTED`, `DIVERGED`, `ABORTED`
 */
export async function learnGates(
  gates: HeadGates,
  data: readonly Example[],
  options: LearnOptions = {},
): Promise<LearnReport> {
  const started = performance.now();
  checkLearnOptions(options);
  const progress = new Progress(options);
  progress.enter("encode");
  const task = await prepareTask(gates, data, options);
  const { part, blocks, scorer, dense, phase, dims, split, encoded, padId } = task;
  const target =
    options.target && resolveTarget(dense, blocks, options.target, { ...options, dims, align: neuronStep });
  if (target && options.target) checkReachable(target, blocks, options.target);
  progress.enter("score");
  const denseQuality = await scorer.scoreDense(dense);
  const learned = await inRounds(
    dense,
    { ...phase, onStep: (step) => progress.step(step) },
    {
      rounds: options.rounds ?? 1,
      finish: options.finish ?? 0.6,
      lambda: options.lambda ?? 1e-3,
      scores: options.scores,
      target,
      progress,
      measureGoal: target && speedupGoal(gates, task, target, options),
      evaluate: async (graph) => progress.evaluated(await scorer.score(graph)),
    },
  );
  install(gates, task, learned);
  progress.enter("measure");
  const gated = await scorer.score(foldLive(part.live!, gates.gatesOf(part)));
  const stages = await measureStages(gates, part, {
    scorer,
    quality: { dense: denseQuality, gated },
    shrinks: blocks.some(({ name, groups }) => learned.kept.get(name)!.length < groups),
    example: middleExample(split.heldOut),
    padId,
    dims,
    options,
  });
  const { truncated, empty, maxLength } = encoded;
  return {
    objective: task.objective.objective,
    target: options.target,
    data: { examples: split.training.length, heldOut: split.heldOut.length, truncated, empty, maxLength },
    steps: progress.done,
    seconds: (performance.now() - started) / 1000,
    lambda: learned.lambda,
    losses: Float64Array.from(progress.losses),
    ...stages,
    evaluations: progress.evaluations,
    kept: learned.kept,
    scores: learned.scores,
    warnings: warningsOf(task, learned, options),
  };
}

type Task = Awaited<ReturnType<typeof prepareTask>>;

/** Everything that learning needs of model and data. */
async function prepareTask(gates: HeadGates, data: readonly Example[], options: LearnOptions) {
  const { model, runtime, threads, depth } = gates.internals;
  const { train = "gates", signal, seed = 1, batchSize = 16, maxLength } = options;
  const part = learnablePart(gates, train);
  const plain = plainDecoder(part.graph);
  const dense = plain.graph;
  const blocks = learnedBlocks(gates, part, dense);
  const encoded = await encodeExamples(model, data, { ...(maxLength !== undefined && { maxLength }) });
  const generator = randomGenerator(seed);
  const random = (): number => generator.next();
  const split = await splitExamples(model, encoded.examples, options, random);
  checkVocabulary(dense, [...split.training, ...split.heldOut]);
  const objective = objectiveOf(dense, model.kind, encoded.examples, options.objective);
  const padId = model.pipeline.tokenizer?.pad_token_id ?? 0;
  const scorer = new Scorer(objective, inBatches(split.heldOut, batchSize), padId, {
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
    gateRate: options.gateRate ?? (train === "gates" ? 3e-2 : 1e-2),
    engine: { ...runtime.trainer, threads },
    batches: endlessBatches(dense, split.training, { batchSize, padId, labels: objective.labels, random }),
    signal,
  };
  const dims = dimsOf(dense, model.config, options.dims);
  return { part, plain, dense, blocks, encoded, split, objective, padId, scorer, phase, dims };
}

/** The gated blocks in the graph that is trained: of a merged decoder those of its first step, by the same names. */
function learnedBlocks(gates: HeadGates, part: GatedPart, dense: Graph): GatedBlock[] {
  const known = new Map(part.blocks.map((block) => [block.name, block]));
  const all = dense === part.graph ? part.blocks : findBlocks(dense, part.file).blocks;
  return all.flatMap((block): GatedBlock[] => {
    if (!gates.table(block).of(block.name)) return [];
    return [{ ...block, cached: known.get(block.name)?.cached ?? false }];
  });
}

/** Held-out examples of the caller's, or a part of the data. */
async function splitExamples(
  model: OpenedModel,
  examples: readonly EncodedExample[],
  { heldOut, maxLength }: LearnOptions,
  random: () => number,
): Promise<SplitData> {
  if (typeof heldOut !== "object") return splitData(examples, heldOut, random);
  const own = await encodeExamples(model, heldOut, { ...(maxLength !== undefined && { maxLength }) });
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

/**
 * Gates in the tables; weights, where they were trained, in the part. Codes of a quantized file cannot take fractions: its gates are on or off.
 */
function install(
  gates: HeadGates,
  { part, plain, blocks, phase }: Task,
  { graph, gates: values }: Learned,
): void {
  for (const block of blocks) {
    const learned = values.get(block.name)!;
    gates
      .table(block)
      .of(block.name)!
      .set(part.quantized ? learned.map((gate) => Number(gate !== 0)) : learned);
  }
  if (phase.train === "gates") return;
  part.graph = plain.restore(graph);
  const names = new Set(blocks.map(({ name }) => name));
  part.live = liveGraph(
    part.graph,
    part.blocks.filter(({ name }) => names.has(name)),
  );
}

/** Finds how small the model must be for a speed-up, by cutting and timing. */
function speedupGoal(
  gates: HeadGates,
  { part, blocks, dims, padId, split }: Task,
  target: ResolvedTarget,
  { target: wanted, signal }: LearnOptions,
): ((scores: Scores, model: Graph) => Promise<number>) | undefined {
  if (!wanted || !("speedup" in wanted)) return undefined;
  const { runtime, threads } = gates.internals;
  const example = middleExample(split.heldOut);
  return (scores, model) =>
    fractionForSpeedup(target, scores, wanted.speedup, async (kept: KeptGroups) => {
      const { graph } = await prunePart(model, {
        blocks,
        kept,
        dims,
        engine: runtime.engine,
        ...(signal && { signal }),
      });
      const models = [part.source.graph, graph].map((each) => ({
        graph: each,
        feeds: feedsFor(each, [example], padId).feeds,
      }));
      const [dense, pruned] = await compareLatency(models, {
        ...runtime.engine,
        threads,
        ...(signal && { signal }),
      });
      return dense!.medianMs / pruned!.medianMs;
    });
}

/** What went otherwise than one would wish. */
function warningsOf({ part, blocks }: Task, { kept }: Learned, { target, lambda }: LearnOptions): string[] {
  const removed = blocks.some(({ name, groups }) => kept.get(name)!.length < groups);
  if (removed && part.quantized) {
    return [
      `${part.source.path} holds integer codes: what stays is kept as it is, without the gates that were learned for it; open the float file for better quality.`,
    ];
  }
  if (removed) return [];
  const why = target
    ? "the target asks for none"
    : `no gate has died at λ = ${lambda ?? 1e-3}; give a target, a larger lambda, or more steps`;
  return [`no group was turned off: ${why}.`];
}
