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
