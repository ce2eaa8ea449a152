import type { TargetSparsityOptions } from "@dgate/core";
import type { FoldedGroups } from "../gating/fold-gates.ts";
import type { GateOptions } from "../gating/insert-gates.ts";
import type { Graph } from "../graph/graph.ts";
import type { Batch } from "../recover/batches.ts";
import type { Site } from "../sites/site.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { EngineOptions, TrainProvider } from "./engine.ts";
import type { SetNorms } from "./learned-model.ts";
import type { Loss } from "./loss.ts";
import type { Optimizer } from "./optimizer.ts";
import type { PrunedModel, PruneLearnedOptions } from "./prune-learned.ts";
import type { Schedule } from "./schedule.ts";
import type { TrainingGraph } from "./training-graph.ts";
import type { Trained } from "./parameter.ts";
import type { StepResult } from "./updates.ts";

/**
 * Steers λ to a fraction of active groups: see `targetSparsityController` of `@dgate/core`. A group takes many looks to die and does not come back,
 * so gain and look-ahead are gentler here than for looks once an epoch: 0.2 and 25 by default, from λ = 1e-3 on. `target` is
 * the fraction of groups that stays.
 */
export interface TargetSparsity extends TargetSparsityOptions {
  /** Steps between two looks at the groups (default 20). */
  readonly every?: number;
}

/** Weights s_j that scale λ: 1 (`none`, the default), √p_j for groups of p_j weights, or one number for each site by its name (1 for others). */
export type GroupWeights = "none" | "sqrt-size" | Readonly<Record<string, number>>;

/**
 * How sparsity comes about. `smooth`: D-Gating. The others are what it is compared with, without gates: `sparse`, the sub-gradient of the sparse penalty
 * itself; `proximal`, its proximal operator after each update (D = 2, 3, 4), with t = η·λ/(1 − μ) for SGD of momentum μ, which carries a gradient that
 * far too, and t = η·λ for Adam, whose steps do not grow with λ; updates are on the host, and `clipNorm` does not touch it.
 */
export type PenaltyKind = "smooth" | "sparse" | "proximal";

/** Options of `openTrainer`. */
export interface TrainerOptions extends EngineOptions, Pick<GateOptions, "roles"> {
  /** What is made small: `crossEntropy()`, `nextToken()`, `meanSquaredError()`, `distill()`, `outputLoss()`. */
  readonly loss: Loss;
  /** What `distill` compares with: a model of the same inputs and outputs; by default the model as it is before it is gated. */
  readonly teacher?: Graph;
  /** Sites of the model, from `findSites`; by default all that it has. */
  readonly sites?: readonly Site[];
  /** Which of them to gate, by name or kind; by default those that `insertGates` takes. `none`: plain training of all weights, as after pruning. */
  readonly gate?: GateOptions["sites"] | "none";
  /**
   * D (default 2, the group lasso): the groups are penalised by λ·‖w_j‖^{2/D}. Where weights are trained each group gets D − 1 gates; where the
   * gates alone are, D of them, for the frozen weight is no factor.
   */
  readonly depth?: number;
  /** How the groups are penalised (default `smooth`). */
  readonly penalty?: PenaltyKind;
  /** λ, a schedule over the progress of `fit`, or a target that λ is steered to (default 1e-4). */
  readonly lambda?: Schedule | TargetSparsity;
  /** `gates`: all weights are frozen. `groups` (default): gates and the weights that are in groups. `all` (default where nothing is gated): every weight. */
  readonly train?: Trained;
  /** Constants of the model, by name, that are not trained although `train` is `all`: layers that are to stay as they are. None of a group. */
  readonly freeze?: readonly string[];
  /** How gates start (default `balanced`; where the weights are frozen `ones`): see `insertGates`. */
  readonly initial?: GateOptions["initial"];
  /** Weights s_j of the penalty. */
  readonly groupWeights?: GroupWeights;
  /** `sgd()`, `adam()` (default) or `adamw()`. */
  readonly optimizer?: Optimizer;
  /** Learning rate, or a schedule over the progress of `fit` (default 1e-3). */
  readonly learningRate?: Schedule;
  /** Learning rate of the gates; by default that of the weights. */
  readonly gateRate?: Schedule;
  /** Largest norm of the whole gradient; longer ones are scaled down to it. */
  readonly clipNorm?: number;
  /**
   * Where the optimiser's updates are computed: `graph` (default), as nodes of the training graph, so that parameters on a GPU never leave it;
   * or `host`, over typed arrays, which takes less memory. In the graph is faster for SGD on CPU and WASM
   * (`pnpm bench train-step`, `pnpm bench onnx-step`); with Adam on the CPU, the host is for transformers, which have many small parameters, the graph for few large ones.
   */
  readonly updates?: "graph" | "host";
}

/** What `fit` tells after a step. */
export interface TrainingProgress extends StepResult {
  readonly step: number;
  /** Number of the last step, where it is known. */
  readonly steps: number | undefined;
  readonly lambda: number;
  readonly learningRate: number;
  readonly gateRate: number;
  /** Time of the step, the batch's own not counted. */
  readonly stepMs: number;
  /** Estimated peak of memory: parameters, optimiser, activations. */
  readonly memoryBytes: number;
  /** Fraction of groups that are alive, where a target is steered to. */
  readonly active?: number;
}

/** Batches in order; a function is told how many steps were done before, so that resumed training goes on with the right one. */
export type TrainingBatches =
  | Iterable<Batch>
  | AsyncIterable<Batch>
  | ((stepsDone: number) => Iterable<Batch> | AsyncIterable<Batch>);

/** Options of `fit`. */
export interface FitOptions {
  /** Number of the last step, counted over all calls; without it the batches decide, and schedules must be numbers. */
  readonly steps?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** Takes a checkpoint after every so many steps, and when training is cancelled. */
  readonly checkpoint?: {
    readonly every: number;
    readonly save: (checkpoint: Checkpoint) => Promise<void> | void;
  };
}

/** What a call of `fit` did. */
export interface FitReport {
  /** Steps done in this call. */
  readonly steps: number;
  /** Loss without penalty of each of them, in float64. */
  readonly losses: Float64Array;
  readonly penalties: Float64Array;
  readonly meanStepMs: number;
  /** Largest estimated memory of a step. */
  readonly memoryBytes: number;
}

/** A model in training. */
export interface Trainer {
  readonly provider: TrainProvider;
  /** Where the updates are computed. */
  readonly updates: "graph" | "host";
  /** Steps done so far. */
  readonly step: number;
  /** What is trained: names, shapes and kinds. */
  readonly parameters: TrainingGraph["parameters"];
  /** The graph that is run for a step. */
  readonly graph: Graph;
  /** Inputs that a batch has to give, with their types. */
  readonly inputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly unknown[] | undefined;
  }[];
  /**
   * Trains on batches until there are no more, or until `steps` are done.
   *
   * @throws DgateError `OPTION`, `SHAPE` or `DATA` for a batch that does not fit, naming it, `DATA` if there is none at all; `DIVERGED` with step, loss and likely cause if loss
   * or gradient is not finite (the parameters are those of the step before); `MEMORY` with the size needed; `ABORTED`
   */
  fit(batches: TrainingBatches, options?: FitOptions): Promise<FitReport>;
  /** ‖w_j‖ of every gate set. */
  norms(): Promise<SetNorms[]>;
  /** The gated model with what was learned. */
  gated(): Promise<Graph>;
  /** The model with the gates multiplied into the weights, and the groups' norms. */
  fold(): Promise<{ readonly graph: Graph; readonly groups: readonly FoldedGroups[] }>;
  /** Folds, removes what is dead and proves the result: see `PruneLearnedOptions`. The trainer itself goes on as it is. */
  prune(options?: PruneLearnedOptions): Promise<PrunedModel>;
  /** All that training needs to go on. */
  save(): Promise<Checkpoint>;
  /** Goes on from a checkpoint of the same model, options and optimiser, exactly. */
  restore(checkpoint: Checkpoint): void;
  /** Frees the runtime's memory. */
  dispose(): Promise<void>;
}
