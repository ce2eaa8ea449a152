/** What `dgate train` prints with `--json` and keeps as report.json. Scripts rely on the first fields; others may be added. */
export interface TrainDocument {
  /** Fractions of right answers on the test set (R² for a regression); null where nothing was trained. */
  readonly accuracy: {
    readonly dense: number | null;
    readonly gated: number | null;
    /** Of the written ONNX file, run in onnxruntime-web. */
    readonly pruned: number | null;
  };
  readonly groups: { readonly total: number; readonly active: number };
  /** Of the written model. */
  readonly parameters: number;
  /** Multiply–adds of one forward pass of the written model. */
  readonly macs: number;
  /** D and λ; null for the dense baseline, which has none. */
  readonly depth: number | null;
  readonly lambda: number | null;
  /** Paths of the written files. */
  readonly files: readonly string[];
  /** Largest difference between the masked model and the pruned one in onnxruntime-web, on random inputs. */
  readonly maxAbsDiff: number | null;
  readonly metric: "accuracy" | "r2";
  readonly settings: TrainSettings;
  readonly backend: string;
  /** What computed, and the reasons against the faster backends. */
  readonly backendDetails: string;
  readonly seconds: number;
  /** The architecture before pruning. */
  readonly before: ModelSize;
  readonly after: ModelSize;
  readonly sites: readonly SiteSummary[];
  /** Input features kept, where they were gated. */
  readonly inputs: KeptInputs | null;
  readonly history: readonly EpochRecord[];
  /** Medians of interleaved runs in onnxruntime-web, one thread. */
  readonly latency: Latency | null;
  readonly warnings: readonly string[];
}

/** What was asked for, defaults filled in. */
export interface TrainSettings {
  readonly data: string;
  readonly target: string | null;
  readonly arch: string;
  readonly method: Method;
  readonly depth: number;
  /** The largest over training. */
  readonly lambda: number;
  readonly lambdaSchedule: LambdaScheduleName;
  readonly sites: readonly string[];
  readonly epochs: number;
  readonly batch: number;
  readonly lr: number;
  readonly momentum: number;
  readonly optimizer: "sgd" | "adam";
  readonly warmup: number;
  readonly initialisation: string;
  readonly threshold: number;
  readonly seed: number;
  readonly trainSize: number;
  readonly testSize: number;
}

/** λ over the steps: as `warmupStableDecay` of `@dgate/core` has it, or always the same. */
export type LambdaScheduleName = "up-and-down" | "constant";

/** `dgate`: gates; `direct`: the sparse penalty L2,1 itself by sub-gradient; `dense`: no penalty, the baseline alone. */
export type Method = "dgate" | "direct" | "dense";

export interface ModelSize {
  readonly parameters: number;
  readonly macs: number;
  /** Of the ONNX file. */
  readonly bytes: number;
}

export interface SiteSummary {
  readonly site: string;
  readonly kind: string;
  readonly groups: number;
  /** Groups kept. */
  readonly kept: number;
  /** Groups within a factor of 2 of the threshold. */
  readonly near: number;
  /** ‖w_j‖ at or below it is dead. */
  readonly threshold: number;
  /** ‖w_j‖ at the end. */
  readonly norms: readonly number[];
}

export interface KeptInputs {
  readonly total: number;
  readonly kept: readonly number[];
  /** Names of the kept columns of a table. */
  readonly names: readonly string[] | null;
  /** Height and width of an image input. */
  readonly image: readonly [number, number] | null;
}

export interface EpochRecord {
  /** Epochs done; 0 is the start. */
  readonly epoch: number;
  /** Time of the gradient flow: the learning rates so far, divided by 1 − momentum. */
  readonly time: number;
  /** ∫ λ dt so far: what the penalty has done to the balance of gates. */
  readonly lambdaTime: number;
  /** Mean loss of the epoch, penalty included; null at the start. */
  readonly loss: number | null;
  /** On the test set. */
  readonly accuracy: number;
  readonly sites: readonly EpochSite[];
}

interface EpochSite {
  readonly site: string;
  readonly active: number;
  /** This penalty and those after it are told for the largest λ of training. */
  readonly smooth: number;
  readonly sparse: number;
  readonly gap: number;
  /** Largest |‖ω_j‖² − γ_{j,d}²|. */
  readonly imbalance: number;
  /** Median of it over the groups. */
  readonly medianImbalance: number;
  /** ‖w_j‖ of each group. */
  readonly norms: readonly number[];
}

export interface Latency {
  readonly runtime: "onnxruntime-web";
  /** Rows of one run. */
  readonly batch: number;
  readonly dense: LatencyFigures;
  readonly pruned: LatencyFigures;
  readonly speedup: number;
}

export interface LatencyFigures {
  readonly medianMs: number;
  readonly p95Ms: number;
}

/** What `npm start` keeps as report.json: the dense baseline and one train document per depth. */
export interface ComparisonDocument {
  readonly dense: TrainDocument;
  readonly runs: readonly TrainDocument[];
}

/** Indented JSON with arrays of numbers on one line each. */
export function printDocument(document: unknown): string {
  const text = JSON.stringify(document, null, 1);
  return `${text.replace(/\[\s+([-+.\deE]+(?:,\s+[-+.\deE]+)*)\s+\]/g, (_, numbers: string) => `[${numbers.replace(/\s+/g, "")}]`)}\n`;
}

/** Rounds to so many significant digits, for documents. */
export const significant = (value: number, digits = 5): number => Number(value.toPrecision(digits));
