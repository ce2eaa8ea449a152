import type { SkippedLayer } from "./find-layers.ts";

/** Errors before and after on held-out inputs. */
export interface HeldOut {
  readonly rows: number;
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** What became of one layer. Errors are ‖Y − Y_dense‖² / ‖Y_dense‖² of the layer's output, on the inputs it sees after the layers before it were fitted. */
export interface LayerRecovery {
  readonly node: string;
  /** Name of its weight. */
  readonly tensor: string;
  /** Calibration samples: rows of a Gemm or MatMul, output positions of a Conv. */
  readonly rows: number;
  /** Whether the fit was taken; if not, the layer keeps its weights and `notes` say why. */
  readonly taken: boolean;
  /** The ridge that was used. */
  readonly ridge: number;
  readonly errorBefore: number;
  readonly errorAfter: number;
  readonly validation?: HeldOut;
  readonly notes: readonly string[];
}

/** What `recover` did. */
export interface RecoveryReport {
  /** In topological order. */
  readonly layers: readonly LayerRecovery[];
  /** Layers that read removed channels and were not tried. */
  readonly skipped: readonly SkippedLayer[];
  /** ‖O − O_dense‖² / ‖O_dense‖² over all floating-point outputs of the model, on the calibration inputs. */
  readonly outputErrorBefore: number;
  readonly outputErrorAfter: number;
  /** The same on the validation inputs. */
  readonly validation?: { readonly outputErrorBefore: number; readonly outputErrorAfter: number };
  readonly notes: readonly string[];
}

/** How far `recover` is. */
export interface RecoveryProgress {
  /** `collect`: running both models on a level of layers; `solve`: fitting them; `compare`: running whole models at the end. */
  readonly phase: "collect" | "solve" | "compare";
  /** Layers done, of all layers to fit. */
  readonly done: number;
  readonly total: number;
  /** Batches done in this phase. */
  readonly batches: number;
}
