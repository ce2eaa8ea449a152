import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { findAgain } from "./find-again.ts";
import type { PrunedModel, PruneLearnedOptions } from "./prune-learned.ts";
import { openTrainer } from "./trainer.ts";
import type { FitOptions, FitReport, TrainerOptions, TrainingBatches } from "./trainer-options.ts";

/** Options of `train`. */
export interface TrainOptions extends TrainerOptions, Omit<FitOptions, "steps"> {
  /** Steps of each round. */
  readonly steps: number;
  /** How often to train and prune (default 1): each round goes on with what the one before has left. */
  readonly rounds?: number;
  /** How each round's model is pruned. */
  readonly prune?: PruneLearnedOptions;
}

/** One round of `train`. */
export interface TrainRound extends PrunedModel {
  readonly fit: FitReport;
}

/**
 * Learns which groups of a model matter, removes the others and proves the result: `openTrainer`, `fit` and `prune`, several times if
 * asked for. What `distill` compares with is the first model in every round, unless inputs of it were cut.
 *
 * @param batches asked for anew in each round if it is a function
 * @returns the pruned model of the last round, and what each round did
 * @throws DgateError as `openTrainer`, `Trainer.fit` and `Trainer.prune`
 */
export async function train(
  model: Graph,
  batches: TrainingBatches,
  options: TrainOptions,
): Promise<{ readonly graph: Graph; readonly rounds: readonly TrainRound[] }> {
  const { rounds = 1, steps, prune, signal, onProgress, checkpoint, sites, ...rest } = options;
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new DgateError("OPTION", `train: rounds is ${rounds}, expected a whole number of at least 1.`);
  }
  if (rest.gate === "none") {
    throw new DgateError(
      "OPTION",
      'train: gate is "none", so that there is nothing to prune; open a trainer, fit and fold.',
    );
  }
  const done: TrainRound[] = [];
  let graph = model;
  for (let round = 0; round < rounds; round++) {
    const own = round === 0 ? sites : sites && findAgain(graph, sites);
    const teacher = rest.teacher ?? (round > 0 && takesAll(done) ? model : undefined);
    const trainer = await openTrainer(graph, {
      ...rest,
      ...(own && { sites: own }),
      ...(teacher && { teacher }),
    });
    try {
      const fit = await trainer.fit(batches, {
        steps,
        ...(signal && { signal }),
        ...(onProgress && { onProgress }),
        ...(checkpoint && { checkpoint }),
      });
      const pruned = await trainer.prune(prune);
      done.push({ ...pruned, fit });
      ({ graph } = pruned);
    } finally {
      await trainer.dispose();
    }
  }
  return { graph, rounds: done };
}

/** Whether the batches of the first model fit the pruned one, so that the first can still teach it. */
const takesAll = (rounds: readonly TrainRound[]): boolean =>
  rounds.every(({ report }) => report.inputs.every(({ mode }) => mode === "gather"));
