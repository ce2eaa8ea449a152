export {
  constantLambda,
  cosineLambda,
  type LambdaSchedule,
  lambdaPath,
  linearWarmup,
  warmupStableDecay,
} from "@dgate/core";
export {
  type BackendChoice,
  type BackendName,
  backendNames,
  describeBackend,
  type RejectedBackend,
  useBackend,
} from "./backends/use-backend.ts";
export { collapse, directPenalty, gate } from "./gating/gate.ts";
export { Gated, registerGatedLayers } from "./gating/gated-layer.ts";
export { gatedSites, groupNorms, penalty, setLambda, siteReports } from "./gating/inspect.ts";
export type { GateOptions, SiteRule, SiteSettings } from "./gating/rules.ts";
export type { GatedSite, SiteKind, SiteMember, WeightName } from "./gating/site.ts";
export { tensorOps } from "./gating/tensor-ops.ts";
export { nanGuard } from "./callbacks/nan-guard.ts";
export {
  type HoldThenCosineOptions,
  holdThenCosine,
  type LearningRateSchedule,
  lambdaSchedule,
  learningRateSchedule,
} from "./callbacks/schedules.ts";
export {
  describeRecord,
  type SparsityMonitor,
  type SparsityMonitorOptions,
  type SparsityRecord,
  sparsityMonitor,
} from "./callbacks/sparsity-monitor.ts";
export type { StatefulCallback } from "./callbacks/stateful.ts";
export {
  type TargetSparsity,
  type TargetSparsityCallbackOptions,
  targetSparsity,
} from "./callbacks/target-sparsity.ts";
export { type BatchOptions, shuffledBatches } from "./training/batches.ts";
export type { TrainingCallback } from "./training/callback-list.ts";
export { type EpochLog, type TrainingPosition, type TrainOptions, train } from "./training/train.ts";
export type { Rows } from "./training/training-data.ts";
export type { WeightBinding, WeightReshape } from "./export/bindings.ts";
export type { ExportedGraph, GraphOptions, InputPlace, InputSelection } from "./export/to-graph.ts";
export { toGraph, toOnnx } from "./export/to-onnx.ts";
export type { ShrinkThreshold } from "./shrink/decide.ts";
export {
  type ShrinkOptions,
  type ShrinkReport,
  type Shrunk,
  shrink,
  type SiteShrinkage,
} from "./shrink/shrink.ts";
