import type { EncodedBatch } from "../data/feeds.ts";
import type { Quality } from "./learn-report.ts";
import {
  argmax,
  cosine,
  meanSquare,
  nextTokenLoss,
  rankCorrelation,
  rowDivergence,
  rowLoss,
  similarities,
} from "./measures.ts";
import type { TrainedObjective } from "./objective.ts";

/** Most rows whose similarities are ranked: their pairs are as many as the square of this. */
const mostRanked = 1000;

/** Adds up the quality of a model from batch to batch: see `Quality`. */
export class QualityTally {
  readonly #objective: TrainedObjective;
  readonly #means = new Map<string, { sum: number; count: number }>();
  /** Embeddings of this model and of the dense one. */
  readonly #ranked: { readonly own: Float32Array[]; readonly dense: Float32Array[] } = { own: [], dense: [] };
  #allLabelled = true;

  constructor(objective: TrainedObjective) {
    this.#objective = objective;
  }

  /** Rows of the outputs of a batch, of this model and of the dense one. */
  add(own: readonly Float32Array[], dense: readonly Float32Array[], batch: EncodedBatch): void {
    if (this.#objective.rowsAre === "states") this.#addStates(own, dense);
    else this.#addLogits(own, dense, batch);
  }

  quality(): Quality {
    const means = Object.fromEntries(
      [...this.#means]
        .filter(([name]) => name !== "accuracy" || this.#allLabelled)
        .map(([name, { sum, count }]) => [name, sum / count]),
    );
    const { nextToken, ...quality } = means;
    if (nextToken !== undefined) quality["perplexity"] = Math.exp(nextToken);
    if (this.#objective.objective === "next-token" && nextToken !== undefined) quality["loss"] = nextToken;
    if (this.#objective.objective !== "embedding") return quality;
    const { own, dense } = this.#ranked;
    return { ...quality, rankCorrelation: rankCorrelation(similarities(own), similarities(dense)) };
  }

  #addStates(own: readonly Float32Array[], dense: readonly Float32Array[]): void {
    own.forEach((row, i) => {
      this.#count("loss", meanSquare(row, dense[i]!));
      this.#count("cosine", cosine(row, dense[i]!));
    });
    if (this.#objective.objective !== "embedding") return;
    const room = mostRanked - this.#ranked.own.length;
    this.#ranked.own.push(...own.slice(0, room));
    this.#ranked.dense.push(...dense.slice(0, room));
  }

  #addLogits(own: readonly Float32Array[], dense: readonly Float32Array[], batch: EncodedBatch): void {
    const { objective, perToken, rows = 1, rowsAre } = this.#objective;
    own.forEach((row, i) => {
      if (objective !== "labels") this.#count("loss", rowDivergence(dense[i]!, row));
      this.#count("agreement", Number(argmax(row) === argmax(dense[i]!)));
    });
    if (rowsAre === "next tokens")
      for (const loss of nextTokenLoss(own, batch)) this.#count("nextToken", loss);
    if (perToken || rows > 1) return;
    batch.examples.forEach(({ label }, i) => {
      if (label === undefined) {
        this.#allLabelled = false;
        return;
      }
      this.#count("accuracy", Number(argmax(own[i]!) === label));
      if (objective === "labels") this.#count("loss", rowLoss(own[i]!, label));
    });
  }

  #count(name: string, value: number): void {
    const mean = this.#means.get(name) ?? { sum: 0, count: 0 };
    mean.sum += value;
    mean.count += 1;
    this.#means.set(name, mean);
  }
}
