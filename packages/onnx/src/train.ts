export {
  constantLambda,
  cosineLambda,
  type LambdaSchedule,
  lambdaPath,
  linearWarmup,
  warmupStableDecay,
} from "@dgate/core";
export type { Batch } from "./recover/batches.ts";
export type { Checkpoint } from "./train/checkpoint.ts";
export type { TrainProvider } from "./train/engine.ts";
export type { SetNorms } from "./train/learned-model.ts";
export {
  crossEntropy,
  type CrossEntropyOptions,
  distill,
  type DistillOptions,
  type EmittedLoss,
  type Loss,
  type LossContext,
  meanSquaredError,
  nextToken,
  type NextTokenOptions,
  outputLoss,
  type SquaredErrorOptions,
} from "./train/loss.ts";
export {
  adam,
  type AdamOptions,
  adamw,
  type AdamWOptions,
  type ArrayState,
  type Optimizer,
  type OptimizerState,
  sgd,
  type SgdOptions,
} from "./train/optimizer.ts";
export type { PrunedModel, PruneLearnedOptions } from "./train/prune-learned.ts";
export { type Schedule, warmupCosine } from "./train/schedule.ts";
export { openTrainer } from "./train/trainer.ts";
export type {
  FitOptions,
  FitReport,
  GroupWeights,
  TargetSparsity,
  Trainer,
  TrainerOptions,
  TrainingBatches,
  TrainingProgress,
} from "./train/trainer-options.ts";
export { train, type TrainOptions, type TrainRound } from "./train/train.ts";
export type { Parameter, Trained } from "./train/parameter.ts";
