export { firstDifference, type Numbers, numbersOf } from "./all-close.ts";
export {
  depths,
  factorArrays,
  type GatedSet,
  gatedSets,
  groupSets,
  layoutsOf,
  shapes,
} from "./arbitraries.ts";
export { dataFolder } from "./data-folder.ts";
export { type ConformanceOptions, describeTensorOps } from "./describe-tensor-ops.ts";
export { caseFactors, type GatingCase, gatingCases } from "./gating-cases.ts";
export { type GradientCheckOptions, gradientError } from "./gradient-check.ts";
export { fc } from "./property.ts";
export {
  groupOfElements,
  type PlainFactors,
  type ReferenceGating,
  referenceGating,
} from "./reference-gating.ts";
export { type TensorOpsCase, tensorOpsCases } from "./tensor-ops-cases.ts";
export { type Tolerance, tolerances } from "./tolerance.ts";
