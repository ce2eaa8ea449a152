export { DgateError } from "@dgate/core";
export type { BlockFinding, GatedBlock, SiteGroup } from "./blocks/block.ts";
export type { Example, ImageExample, LabelledExample } from "./data/example.ts";
export { type CacheHeads, cacheHeads } from "./decoder/cache-heads.ts";
export { type ModelConfig, type PrunedConfig, prunedConfig } from "./decoder/decoder-config.ts";
export type { LibraryMajor } from "./decoder/decoder-families.ts";
export { GateTable } from "./gates/gate-table.ts";
export { HeadGates } from "./head-gates.ts";
export type {
  ImportanceMethod,
  ImportanceOptions,
  ImportanceProgress,
} from "./importance/importance.ts";
export {
  inspectModel,
  type InspectedFile,
  type InspectedModel,
  type InspectOptions,
} from "./inspect-model.ts";
export type { LearnOptions, LearnProgress, Objective, Target } from "./learn/learn-options.ts";
export type { LearnReport, Quality, Stage } from "./learn/learn-report.ts";
export { openHeadGates, type HeadGatesOptions } from "./open-head-gates.ts";
export type { Latency } from "./measure/latency.ts";
export type { KeptGroups, Scores } from "./prune/choose-groups.ts";
export type { PruneOptions } from "./prune/prune-model.ts";
export type { PrunedFile, PrunedTransformer } from "./prune/pruned-transformer.ts";
export type {
  ModelFilesOptions,
  SaveCheck,
  SavedFile,
  SavedFusion,
  SaveOptions,
  SaveProgress,
  SaveReport,
} from "./save/save-options.ts";
export { type Dtype, dtypeSuffixes } from "./source/dtype.ts";
export { type FilesOptions, isModelId } from "./source/model-files.ts";
