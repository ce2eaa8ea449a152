import type { SiteKind } from "@dgate/onnx";

/** Sites of one kind. */
export interface SitesOfKind {
  readonly kind: SiteKind;
  readonly sites: number;
  /** Of all of them. */
  readonly groups: number;
  /** Of those of which groups can go. */
  readonly prunable: number;
  /** Why groups of the others cannot go: a reason, and of how many sites. */
  readonly reasons: readonly (readonly [reason: string, sites: number])[];
}

/** What a model is. */
export interface ModelFacts {
  readonly name: string;
  /** Of the file, and of what lies beside it. */
  readonly bytes: number;
  readonly parameters: number;
  readonly macs: number;
  /** Sizes for which MACs are counted and the model is run, of dimensions that it leaves open. */
  readonly assumed: readonly (readonly [name: string, size: number])[];
  readonly quantized: boolean;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Operators with their number, the most frequent first. */
  readonly operators: readonly (readonly [op: string, count: number])[];
  readonly sites: readonly SitesOfKind[];
}

/** What pruning is asked for. */
export interface PruneRequest {
  /** What the budget counts; `keep` takes the same part of each site. */
  readonly budget: "macs" | "parameters" | "bytes" | "keep";
  /** The fraction that stays. */
  readonly fraction: number;
  readonly criterion: "l2" | "l2-coupled" | "random";
  readonly kinds: readonly SiteKind[];
}

/** What pruning did. */
export interface PruneOutcome {
  readonly facts: ModelFacts;
  /** The pruned model's file. */
  readonly file: Blob;
  readonly removed: readonly { readonly site: string; readonly groups: number; readonly kept: number }[];
  readonly keptBack: readonly { readonly site: string; readonly count: number; readonly reason: string }[];
  /** Between the masked and the pruned model. */
  readonly maxAbsDiff: number;
}

/** Where two models are compared. */
export type Place = "wasm" | "webgpu";

/** As people know them. */
export const placeNames: Readonly<Record<Place, string>> = { wasm: "WASM", webgpu: "WebGPU" };

/** Runs of two models in turns. */
export interface Measurement {
  /** Of WASM. */
  readonly threads: number;
  /** Milliseconds of each run. */
  readonly first: readonly number[];
  readonly second: readonly number[];
  /** Largest difference of the outputs, and of it divided by the largest output; undefined where the models have not the same outputs. */
  readonly maxAbsDiff: number | undefined;
  readonly maxRelDiff: number | undefined;
  readonly notes: readonly string[];
}

/** Kinds that are pruned unless the reader says otherwise: as `planFrom` has it. */
export const usualKinds: readonly SiteKind[] = ["neurons", "filters", "heads"];
