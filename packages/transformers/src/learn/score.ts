import { type Graph, numbersOf, openRunner, type Runner, type RunnerOptions } from "@dgate/onnx";
import type { EncodedExample } from "../data/encode.ts";
import { type EncodedBatch, feedsFor } from "../data/feeds.ts";
import { giveWay } from "../stop-if-aborted.ts";
import type { Quality } from "./learn-report.ts";
import { rowsOf } from "./measures.ts";
import type { TrainedObjective } from "./objective.ts";
import { QualityTally } from "./quality-tally.ts";

/** What scoring runs in. */
export interface ScoreOptions {
  readonly engine: Pick<RunnerOptions, "ort" | "runtime">;
  readonly threads: number;
  readonly signal?: AbortSignal;
  /** Most bytes of the dense model's outputs that are kept (default 128 MiB); for batches beyond it runs again. */
  readonly keptBytes?: number;
}

/**
 * Scores models on held-out data against the dense one, batch by batch: of a language model the outputs for all the data would not fit into memory,
 * with one number for every token of the vocabulary at every position.
 */
export class Scorer {
  readonly #objective: TrainedObjective;
  readonly #batches: readonly (readonly EncodedExample[])[];
  readonly #padId: number;
  readonly #options: ScoreOptions;
  #dense: Graph | undefined;
  /** What the dense model gives, by batch. */
  readonly #kept = new Map<number, Float32Array>();

  constructor(
    objective: TrainedObjective,
    batches: readonly (readonly EncodedExample[])[],
    padId: number,
    options: ScoreOptions,
  ) {
    this.#objective = objective;
    this.#batches = batches;
    this.#padId = padId;
    this.#options = options;
  }

  /** Quality of the dense model, which the others are compared with from then on. */
  async scoreDense(graph: Graph): Promise<Quality> {
    this.#dense = graph;
    this.#kept.clear();
    const { keptBytes = 2 ** 27 } = this.#options;
    let bytes = 0;
    return this.#tally(graph, (values, at) => {
      bytes += values.byteLength;
      if (bytes <= keptBytes) this.#kept.set(at, values);
      return Promise.resolve(values);
    });
  }

  /** Quality of a model of the same inputs and outputs. */
  async score(graph: Graph): Promise<Quality> {
    const dense = this.#dense!; // scoreDense comes first
    const runner =
      this.#kept.size < this.#batches.length ? await this.#open(this.#objective.prepare(dense)) : undefined;
    try {
      return await this.#tally(graph, async (_, at) => {
        const kept = this.#kept.get(at);
        if (kept) return kept;
        return this.#outputOf(runner!, feedsFor(dense, this.#batches[at]!, this.#padId)); // opened, as not all are kept
      });
    } finally {
      await runner?.dispose();
    }
  }

  /** @param denseOf what the dense model gives for a batch, given what this one does */
  async #tally(
    graph: Graph,
    denseOf: (values: Float32Array, at: number) => Promise<Float32Array>,
  ): Promise<Quality> {
    const { signal } = this.#options;
    const tally = new QualityTally(this.#objective);
    const runner = await this.#open(this.#objective.prepare(graph));
    try {
      for (const [at, examples] of this.#batches.entries()) {
        await giveWay(signal, "learn");
        const batch = feedsFor(graph, examples, this.#padId);
        const values = await this.#outputOf(runner, batch);
        const dense = await denseOf(values, at);
        tally.add(rowsOf(values, batch, this.#objective), rowsOf(dense, batch, this.#objective), batch);
      }
      return tally.quality();
    } finally {
      await runner.dispose();
    }
  }

  #open(graph: Graph): Promise<Runner> {
    const { engine, threads } = this.#options;
    return openRunner(graph, { ...engine, threads });
  }

  async #outputOf(runner: Runner, { feeds }: EncodedBatch): Promise<Float32Array> {
    const outputs = await runner.run(feeds);
    return Float32Array.from(numbersOf(outputs[this.#objective.output]!));
  }
}
