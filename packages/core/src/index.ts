export { arrayOps } from "./arrays/array-ops.ts";
export { broadcastShape } from "./arrays/broadcast.ts";
export { type FloatArray, type FloatType, type NdArray, ndArray } from "./arrays/nd-array.ts";
export { type RandomGenerator, type RandomState, randomGenerator } from "./arrays/random.ts";
export { type ProximalDepth, proximalNorm, proximalStep } from "./baseline/proximal.ts";
export { directSubgradient } from "./baseline/subgradient.ts";
export { DgateError, type DgateErrorCode } from "./errors.ts";
export { balance, balancedFactors } from "./gating/balance.ts";
export {
  collapse,
  depthOf,
  type Factors,
  factorGradients,
  gateProduct,
  squaredGroupNorms,
} from "./gating/factors.ts";
export { type InitialOptions, type InitialScheme, initialFactors } from "./gating/initial.ts";
export {
  frozenPenalty,
  frozenPenaltyGradient,
  imbalance,
  penaltyGap,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
} from "./gating/penalty.ts";
export { expandGroups, sumGroups } from "./groups/expand.ts";
export { defineGroups, type GroupMember, type GroupOptions, type GroupSet } from "./groups/group-set.ts";
export { checkLayout, type GroupLayout, groupCount, groupSizes } from "./groups/layout.ts";
export {
  type DeadGroupOptions,
  type DeadGroups,
  findDeadGroups,
} from "./plan/dead-groups.ts";
export { type FingerprintEntry, fingerprintOf } from "./plan/fingerprint.ts";
export { parsePlan, printPlan } from "./plan/plan-json.ts";
export { makePlan, mergePlans, type PlannedAxis, type PrunePlan } from "./plan/prune-plan.ts";
export { type LayerCost, type ModelCost, modelCost } from "./report/cost.ts";
export {
  type SiteReport,
  type SiteReportOptions,
  type SparsityReport,
  siteReport,
  sparsityReport,
} from "./report/site-report.ts";
export { formatTable } from "./report/table.ts";
export {
  constantLambda,
  cosineLambda,
  type LambdaSchedule,
  lambdaPath,
  linearWarmup,
  type PathInterpolation,
  warmupStableDecay,
} from "./schedule/lambda-schedule.ts";
export {
  type TargetSparsityController,
  type TargetSparsityOptions,
  type TargetSparsityState,
  targetSparsityController,
} from "./schedule/target-sparsity.ts";
export type { TensorOps } from "./tensor-ops.ts";
