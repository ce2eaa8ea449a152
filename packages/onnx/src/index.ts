export { fuse, type FuseOptions } from "./fuse/fuse.ts";
export type { FusedPattern, FusedPlace, FuseReport, SkippedPlace } from "./fuse/fuse-report.ts";
export {
  type FusedAbility,
  type FusedOperator,
  type FuseProvider,
  type FuseTarget,
  runtimeOperators,
} from "./fuse/runtime-operators.ts";
export { type FoldedGroups, foldGates, type FoldOptions } from "./gating/fold-gates.ts";
export type { GatedRole, GateMember } from "./gating/gate-sets.ts";
export { graphOps, type GraphOpsOptions } from "./gating/graph-ops.ts";
export { type GateOptions, insertGates } from "./gating/insert-gates.ts";
export { readGates, type SiteGates } from "./gating/read-gates.ts";
export {
  gatherTensor,
  type NumberArray,
  readNumbers,
  readStrings,
  sliceTensor,
  tensorOf,
  type TensorValues,
  transposeTensor,
} from "./io/tensor-data.ts";
export type { DataType, Tensor } from "./graph/tensor.ts";
export { type Attribute, float, floats, int, ints, string, tensor } from "./graph/attribute.ts";
export {
  type Dim,
  Graph,
  type ModelInfo,
  type Node,
  type NodeInit,
  type Use,
  type Value,
  type ValueType,
} from "./graph/graph.ts";
export { openRunner, type Runner, type RunnerOptions, type RunnerValue } from "./runtime/open-runner.ts";
export type { ExternalContent } from "./runtime/runnable.ts";
export { constantOf, type Feed, numbersOf, type RunData, type RunTensor } from "./runtime/run-tensor.ts";
export { type GradientOptions, gradients } from "./autodiff/gradients.ts";
export { dequantizeModel, hasCodes } from "./training-form/dequantize.ts";
export { trainingForm } from "./training-form/training-form.ts";
export { checkGraph } from "./graph/check-graph.ts";
export type { Declaration } from "./graph/types.ts";
export type { ExternalReference, ExternalResolver } from "./io/external-data.ts";
export { readModel, type ReadOptions } from "./io/read.ts";
export { writeModel } from "./io/write.ts";
export {
  type ExternalDataOptions,
  type ExternalPart,
  type ModelParts,
  writeModelParts,
  type WriteOptions,
} from "./io/write-parts.ts";
export { inferShapes, type InferOptions } from "./infer/infer-shapes.ts";
export type { Inference } from "./infer/view.ts";
export type { Occurrence } from "./coupling/analyse.ts";
export { countCosts, type GraphCost, type NodeCost } from "./sites/count-costs.ts";
export { type AttentionLayer, findAttention } from "./sites/attention.ts";
export { findSites } from "./sites/find-sites.ts";
export type { CoupledRole, CoupledSlice, Site, SiteKind } from "./sites/site.ts";
export { fingerprint, mask } from "./prune/mask.ts";
export { planFrom } from "./plan/plan-from.ts";
export type { Normalisation, PlanCriterion, PlanOptions } from "./plan/plan-options.ts";
export { costOfPlan, type PlanCostOptions } from "./plan/plan-cost.ts";
export {
  type DeadGroupDecision,
  type DeadGroupPlanOptions,
  planDeadGroups,
} from "./plan/plan-dead-groups.ts";
export {
  type KeptInput,
  prune,
  type PruneOptions,
  type PruneReport,
} from "./prune/prune.ts";
export type { ModelSize } from "./plan/model-size.ts";
export type { InputMode } from "./prune/cut.ts";
export type { KeptBack } from "./prune/decide.ts";
export type { AxisCut } from "./prune/axis-cuts.ts";
export { inlineFunctions } from "./normal-form/inline-functions.ts";
export { normalise } from "./normal-form/normalise.ts";
export { selectBranch, type SelectBranchOptions } from "./normal-form/select-branch.ts";
export { type Pruned, recover, type RecoverOptions } from "./recover/recover.ts";
export type { Batch, BatchSource } from "./recover/batches.ts";
export type { SkippedLayer } from "./recover/find-layers.ts";
export type { HeldOut, LayerRecovery, RecoveryProgress, RecoveryReport } from "./recover/report.ts";
export { randomInputs } from "./verify/random-inputs.ts";
export { isQuantized } from "./quantization/is-quantized.ts";
export { prove, quantizedBound, type Verification, verify, type VerifyOptions } from "./verify/verify.ts";
export { type DynamicQuantizeOptions, quantizeDynamic } from "./quantize/quantize-dynamic.ts";
export { type BlockQuantizeOptions, quantizeBlocks } from "./quantize/quantize-blocks.ts";
export type { QuantizableOperator } from "./quantize/float-layers.ts";
export type { QuantizeLayerOptions } from "./quantize/quantize-options.ts";
export type { QuantizedNode, QuantizeReport, UnquantizedNode } from "./quantize/quantize-report.ts";
