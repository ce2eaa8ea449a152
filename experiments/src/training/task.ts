import type { Feed, Graph, SiteKind } from "@dgate/onnx";
import type { Batch, Loss, Optimizer, Schedule, TrainerOptions } from "@dgate/onnx/train";

/** A model and its data: what every method is given alike. */
export interface Task {
  /** The model before training; equal seeds, equal weights. */
  readonly build: (seed: number) => Promise<Graph>;
  /** Whether which groups stay is written down. */
  readonly recordKept?: boolean;
  /** Whether the initial weights of a layer are scaled by the number of its inputs: a narrower model then starts with larger ones. */
  readonly fanIn: boolean;
  /** What can be removed: kinds or names of sites. */
  readonly gate: readonly (SiteKind | (string & {}))[];
  readonly loss: Loss;
  /** Endless batches, the same ones for every method of a seed. */
  readonly batches: (seed: number) => (stepsDone: number) => Iterable<Batch>;
  /** Steps that every method has, all its phases together. */
  readonly steps: number;
  /** How every method trains. */
  readonly optimizer: () => Optimizer;
  /** Over the progress of a phase. */
  readonly learningRate: Schedule;
  /**
   * How many times the rate of the weights the gates have (default 1). Steps of Adam do not grow with the gradient: one gate that stands for
   * hundreds of weights would come too late.
   */
  readonly gateSpeed?: number;
  readonly clipNorm?: number;
  /**
   * Part of a phase over which λ of every penalty rises from 0 (default 0). Deep networks without normalisation need it: at first the penalty pulls
   * harder than the loss, whose gradient has all layers' weights as factors.
   */
  readonly penaltyRamp?: number;
  /** Weights, by name, that no method trains. */
  readonly freeze?: readonly string[];
  /** Where the optimiser is computed, if that matters for speed. */
  readonly updates?: TrainerOptions["updates"];
  /** The score on data that no method has trained on. */
  readonly score: (graph: Graph) => Promise<number>;
  /** Batches for importances, small ones: their gradients must not cancel. */
  readonly calibration: (seed: number) => readonly Batch[];
  /** One input, for latency. */
  readonly example: Readonly<Record<string, Feed>>;
  /** Sizes of the symbolic dimensions of that input, for multiply–adds. */
  readonly dims: Readonly<Record<string, number>>;
}

/** How a task is asked for. */
export interface TaskOptions {
  readonly quick: boolean;
  /** Of the run: where data are split or drawn by it. */
  readonly seed: number;
  readonly backend: Backend;
}

/** Where networks are trained: providers of `@dgate/onnx/train`. */
export type Backend = "cpu" | "wasm" | "webgpu";
