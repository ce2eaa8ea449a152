import type { Graph } from "@dgate/onnx";
import type { Example } from "../data/example.ts";
import { feedsFor } from "../data/feeds.ts";
import { liveGraph } from "../gates/live-graph.ts";
import type { HeadGates } from "../head-gates.ts";
import { compareLatency } from "../measure/latency.ts";
import type { KeptGroups, Scores } from "../prune/choose-groups.ts";
import { foldLive, prunePart } from "../prune/prune-part.ts";
import { checkLearnOptions } from "./check-learn-options.ts";
import type { LearnOptions } from "./learn-options.ts";
import type { LearnReport } from "./learn-report.ts";
import { measureStages, type Stages } from "./measure-stages.ts";
import { Progress } from "./progress.ts";
import { inRounds, type Learned } from "./rounds.ts";
import { fractionForSpeedup } from "./speedup.ts";
import { checkReachable, type ResolvedTarget, resolveTarget } from "./target.ts";
import { middleExample } from "./training-data.ts";
import { prepareTask, type Task } from "./prepare-task.ts";

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
  const { part, blocks, scorer, dense, start, left, phase, dims, split, padId } = task;
  const target =
    options.target && resolveTarget(dense, blocks, options.target, { ...options, dims, align: neuronStep });
  if (target && options.target) checkReachable(target, blocks, options.target);
  progress.enter("score");
  const denseQuality = await scorer.scoreDense(dense);
  const learned = await inRounds(
    start,
    { ...phase, onStep: (step) => progress.step(step) },
    {
      left,
      even: options.even ?? blocks.some(({ cached }) => cached),
      minimum: options.minimum ?? 1,
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
  const undo = install(gates, task, learned);
  try {
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
    return reportOf(task, learned, stages, { options, progress, started });
  } catch (error) {
    // Cancelled, or the pruned model does not hold: nothing was learned then.
    undo();
    throw error;
  }
}

/** What a run has come to. */
function reportOf(
  task: Task,
  learned: Learned,
  stages: Stages,
  run: { readonly options: LearnOptions; readonly progress: Progress; readonly started: number },
): LearnReport {
  const { split, encoded } = task;
  const { options, progress, started } = run;
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
    warnings: warningsOf(task, learned, options, {
      cut: progress.evaluations.at(-1)!.quality["loss"]!,
      end: stages.gated.quality["loss"]!,
    }),
  };
}

/**
 * Gates in the tables; weights, where they were trained, in the part. Codes of a quantized file cannot take fractions: its gates are on or off.
 *
 * @returns puts back what was there
 */
function install(
  gates: HeadGates,
  { part, plain, blocks, phase }: Task,
  { graph, gates: values }: Learned,
): () => void {
  const learnedGraph = phase.train === "gates" ? part.graph : plain.restore(graph);
  const before = { graph: part.graph, live: part.live };
  const tables = blocks.map((block) => {
    const table = gates.table(block).of(block.name)!;
    return { table, former: table.slice(), learned: values.get(block.name)! };
  });
  for (const { table, learned } of tables)
    table.set(part.quantized ? learned.map((gate) => Number(gate !== 0)) : learned);
  if (phase.train !== "gates") {
    const names = new Set(blocks.map(({ name }) => name));
    part.graph = learnedGraph;
    part.live = liveGraph(
      learnedGraph,
      part.blocks.filter(({ name }) => names.has(name)),
    );
  }
  return () => {
    for (const { table, former } of tables) table.set(former);
    Object.assign(part, before);
  };
}

/** Finds how small the model must be for a speed-up, by cutting and timing. */
function speedupGoal(
  gates: HeadGates,
  { part, dense, blocks, dims, padId, split }: Task,
  target: ResolvedTarget,
  { target: wanted, signal }: LearnOptions,
): ((scores: Scores, model: Graph) => Promise<number>) | undefined {
  if (!wanted || !("speedup" in wanted)) return undefined;
  const { runtime, threads } = gates.internals;
  const example = middleExample(split.heldOut);
  // Of a quantized file it is the codes that are cut and run.
  const whole = part.quantized ? part.source.graph : dense;
  return (scores, model) =>
    fractionForSpeedup(target, scores, wanted.speedup, async (kept: KeptGroups) => {
      const { graph } = await prunePart(part.quantized ? whole : model, {
        blocks,
        kept,
        dims,
        engine: runtime.engine,
        ...(signal && { signal }),
      });
      const models = [whole, graph].map((each) => ({
        graph: each,
        feeds: feedsFor(each, [example], padId).feeds,
      }));
      const [before, after] = await compareLatency(models, {
        ...runtime.engine,
        threads,
        ...(signal && { signal }),
      });
      return before!.medianMs / after!.medianMs;
    });
}

/** What went otherwise than one would wish. */
function warningsOf(
  { part, blocks }: Task,
  { kept }: Learned,
  { target, lambda }: LearnOptions,
  losses: { readonly cut: number; readonly end: number },
): string[] {
  const removed = blocks.some(({ name, groups }) => kept.get(name)!.length < groups);
  if (!removed) {
    const why = target
      ? "the target asks for none"
      : `no gate has died at λ = ${lambda ?? 1e-3}; give a target, a larger lambda, or more steps`;
    return [`no group was turned off: ${why}.`];
  }
  const found: string[] = [];
  if (losses.end > 1.01 * losses.cut) {
    found.push(
      `training after groups were turned off made the loss on held-out data larger (${losses.cut.toPrecision(3)} → ${losses.end.toPrecision(3)}); ` +
        "give more data, or lower learningRate and gateRate.",
    );
  }
  if (part.quantized) {
    found.push(
      `${part.source.path} holds integer codes: what stays is kept as it is, without the gates that were learned for it; open the float file for better quality.`,
    );
  }
  return found;
}
