import type { BlockQuantizeOptions, DynamicQuantizeOptions, ModelSize } from "@dgate/onnx";
import type { LibraryMajor } from "../decoder/decoder-families.ts";
import type { Dtype } from "../source/dtype.ts";

/** What a written model consists of: options of `PrunedTransformer.modelFiles`. */
export interface ModelFilesOptions {
  /**
   * Element types to write, by the names of transformers.js: some of `fp32`, `q8`, `int8`, `uint8`, `q4`. By default `fp32` and `q8`, what
   * `pipeline()` loads in Node and in a page. A model that was opened from a quantized or a float16 file is written as that only.
   */
  readonly dtypes?: readonly Dtype[];
  /**
   * Whether attention, normalisations and Gelus become onnxruntime's fused operators. onnxruntime fuses dense attention itself when it loads
   * a model, not that of a layer with fewer heads. `auto` (default): where the result is proven equal, else the file stays unfused, with a
   * note. `true`: a result that is not equal is an error.
   */
  readonly fuse?: boolean | "auto";
  /**
   * Versions of transformers.js that the folder is for; by default all that can run the model. The runtime of version 2 has no
   * MultiHeadAttention and no external data: leave 2 out and more is fused.
   */
  readonly versions?: readonly LibraryMajor[];
  /** Whether weights are in files beside the models (versions 3 and 4 only). By default where a model passes 2 GiB. */
  readonly externalData?: boolean;
  /** More options of the quantizers: of `q8`, `int8` and `uint8` (`dynamic`), of `q4` (`blocks`). */
  readonly quantize?: { readonly dynamic?: DynamicQuantizeOptions; readonly blocks?: BlockQuantizeOptions };
  readonly onProgress?: (progress: SaveProgress) => void;
  readonly signal?: AbortSignal;
}

/** Options of `PrunedTransformer.save`. */
export interface SaveOptions extends ModelFilesOptions {
  /** Whether a model folder that is there is replaced. */
  readonly force?: boolean;
  /** Whether the written folder is opened with `pipeline()` and run once for every element type (default true). */
  readonly check?: boolean;
  /** What the check calls the pipeline with, where the task's usual input does not do: `[text, { src_lang: "en" }]`, say. */
  readonly sample?: readonly unknown[];
}

/** What `save` tells while it works. */
export interface SaveProgress {
  readonly phase: "fuse" | "quantize" | "write" | "check";
  /** Path in the model, or the element type that is checked. */
  readonly what: string;
}

/** A file of a written model. */
export interface SavedFile {
  /** Path in the folder. */
  readonly path: string;
  readonly sizeBytes: number;
  /** The file that this is a second name of. */
  readonly linkOf?: string;
}

/** What fusing did to a file. */
export interface SavedFusion {
  readonly path: string;
  /** Number of nodes by operator; empty if nothing was fused. */
  readonly operators: Readonly<Record<string, number>>;
  /** Places that stay as they were, with the reason. */
  readonly skipped: readonly { readonly node: string; readonly reason: string }[];
  /** Largest difference of the fused from the unfused model, relative to its largest output. */
  readonly maxRelDiff?: number;
}

/** One element type of the written folder, as it ran. */
export interface SaveCheck {
  readonly dtype: Dtype;
  /** Whether `pipeline()` opened it; version 2 opens `fp32` and `q8` only, the others run in onnxruntime alone. */
  readonly opened: boolean;
  /** Runs of the model's sessions that were compared. */
  readonly runs: number;
  /** Largest difference from the pruned model in memory. */
  readonly maxAbsDiff: number;
  /** The same, relative to the largest value of the output. */
  readonly maxRelDiff: number;
  /** What `maxRelDiff` had to stay under; absent of quantized variants, whose difference is told only. */
  readonly limit?: number;
}

/** What `save` wrote and found. */
export interface SaveReport {
  readonly folder: string;
  readonly files: readonly SavedFile[];
  readonly dtypes: readonly Dtype[];
  readonly versions: readonly LibraryMajor[];
  readonly fused: readonly SavedFusion[];
  readonly checks: readonly SaveCheck[];
  /** Of all ONNX files together, before and after pruning. */
  readonly before: ModelSize;
  readonly after: ModelSize;
  readonly notes: readonly string[];
}
