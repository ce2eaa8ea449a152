import type { ImportanceMethod } from "@dgate/transformers";
import type { DroppedFile } from "../ui/dropped-file.ts";

/** What can be opened. */
export type ModelSource =
  | { readonly kind: "built-in" }
  | { readonly kind: "folder"; readonly files: readonly DroppedFile[] }
  | { readonly kind: "hub"; readonly id: string; readonly dtype: "best" | "q8" };

/** A layer's heads. */
export interface HeadLayer {
  /** Where they are in the graph. */
  readonly name: string;
  readonly heads: number;
}

/** A model that was opened. */
export interface ModelFacts {
  readonly name: string;
  readonly task: string;
  readonly layers: readonly HeadLayer[];
  /** Where it attends and no head can go, with the reason. */
  readonly ungated: readonly (readonly [place: string, reason: string])[];
  readonly parameters: number;
  /** Of its ONNX files. */
  readonly bytes: number;
  /** Which of them were opened: `fp32`, `q8`, … */
  readonly dtype: string;
  readonly threads: number;
  /** What stands for a word to be filled in: `[MASK]`, of some models `<mask>`; undefined where the tokenizer has none. */
  readonly mask: string | undefined;
  /** Of the built-in model: part of fresh sentences that it classifies right, and their number. */
  readonly accuracy?: { readonly right: number; readonly of: number };
}

/** Numbers of layers × heads. */
export type HeadNumbers = readonly (readonly number[])[];

/** Importances that the page offers. */
export type Importance = Extract<ImportanceMethod, "gradient" | "wanda" | "l2">;

/** What the model makes of a text with all heads and with those that are on. */
export type Prediction =
  | {
      readonly kind: "classes";
      readonly classes: readonly (readonly [name: string, dense: number, now: number])[];
    }
  | { readonly kind: "answers"; readonly dense: string; readonly now: string }
  | { readonly kind: "cosine"; readonly cosine: number };

/** Medians of runs in turns, in milliseconds. */
export interface Latency {
  readonly medians: readonly number[];
  readonly rounds: number;
}

/** How near a model is to the dense one on texts that were held out. */
export interface Quality {
  /** What `agreement` is: of classes and tokens the part that is the same, of states the mean cosine. */
  readonly kind: "class" | "token" | "cosine";
  readonly agreement: number;
  /** Part that is right, and what the dense model has, where labels are known. */
  readonly accuracy?: { readonly dense: number; readonly now: number };
  readonly texts: number;
}

/** What is told one after the other about the heads that are on. */
export interface LiveNews {
  readonly prediction?: Prediction;
  readonly quality?: Quality | { /** Why there is none. */ readonly missing: string };
  readonly latency?: Latency;
}

/** What learning is asked for. */
export interface LearnRequest {
  readonly texts: readonly string[];
  /** The part of the heads that stays. */
  readonly keep: number;
  readonly steps: number;
  readonly train: "gates" | "groups" | "all";
}

/** A moment of learning. */
export interface LearnMoment {
  readonly text: string;
  readonly part: number;
  readonly step: number;
  readonly loss?: number;
  readonly lambda?: number;
  /** Part of the heads that is alive. */
  readonly active?: number;
}

/** What learning came to. */
export interface LearnOutcome {
  readonly gates: HeadNumbers;
  /** By what heads were ranked. */
  readonly scores: HeadNumbers;
  readonly seconds: number;
  readonly examples: number;
  readonly heldOut: number;
  readonly warnings: readonly string[];
}

/** A file of a model, as `pipeline()` opens and runs it. */
export interface Variant {
  readonly name: string;
  readonly bytes: number;
  readonly quality: Quality | undefined;
  readonly latencyMs: number;
}

/** What removal came to. */
export interface RemovalOutcome {
  readonly kept: readonly (readonly number[])[];
  readonly parameters: readonly [dense: number, pruned: number];
  readonly macs: readonly [dense: number, pruned: number];
  /** Sizes that they are counted for. */
  readonly dims: Readonly<Record<string, number>>;
  /** The dense model, then the pruned one in each element type. */
  readonly variants: readonly Variant[];
  readonly rounds: number;
  /** Between the masked and the pruned model. */
  readonly maxAbsDiff: number;
  readonly notes: readonly string[];
  readonly files: readonly (readonly [path: string, bytes: number])[];
}
