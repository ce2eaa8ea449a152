import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
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
 * asked for.
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
  const done: TrainRound[] = [];
  let graph = model;
  for (let round = 0; round < rounds; round++) {
    // The sites given are those of the first model.
    const trainer = await openTrainer(graph, { ...rest, ...(round === 0 && sites && { sites }) });
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
