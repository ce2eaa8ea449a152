import type { Graph } from "../graph/graph.ts";
import type { GrowingInference } from "../infer/infer-shapes.ts";
import { PatternReader } from "../training-form/pattern.ts";
import type { FusedPlace, SkippedPlace } from "./fuse-report.ts";
import { NodeEmitter } from "./node-emitter.ts";
import type { FuseTarget } from "./runtime-operators.ts";

/** What is to be fused, and for what. */
export interface FuseSettings {
  readonly attention: "MultiHeadAttention" | "Attention" | false;
  readonly norms: boolean;
  readonly sums: boolean;
  readonly gelus: boolean;
  readonly targets: readonly FuseTarget[];
}

/** A graph that is being fused, and what came of it so far. */
export class FuseContext {
  readonly graph: Graph;
  readonly inference: GrowingInference;
  readonly pattern: PatternReader;
  readonly emit: NodeEmitter;
  readonly settings: FuseSettings;
  readonly fused: FusedPlace[];
  readonly skipped: SkippedPlace[];

  constructor(
    graph: Graph,
    inference: GrowingInference,
    settings: FuseSettings,
    { fused, skipped }: { readonly fused: FusedPlace[]; readonly skipped: SkippedPlace[] },
  ) {
    this.graph = graph;
    this.inference = inference;
    this.settings = settings;
    this.fused = fused;
    this.skipped = skipped;
    this.pattern = new PatternReader(graph, inference);
    this.emit = new NodeEmitter(graph, inference);
  }
}
