import { type Graph, numbersOf, openRunner, type RunnerOptions } from "@dgate/onnx";
import type { EncodedExample } from "../data/encode.ts";
import { type EncodedBatch, feedsFor } from "../data/feeds.ts";
import { stopIfAborted } from "../stop-if-aborted.ts";
import type { LearnReport, Quality } from "./learn-report.ts";
import { nextTokenLoss, rankCorrelation, rowDivergence, rowsOf, similarities, argmax } from "./measures.ts";
import type { TrainedObjective } from "./objective.ts";

/** Outputs of a model for one batch: rows that count. */
interface ScoredRows {
  readonly rows: readonly Float32Array[];
  readonly batch: EncodedBatch;
}

/** What scoring runs in. */
export interface ScoreOptions {
  readonly engine: Pick<RunnerOptions, "ort" | "runtime">;
  readonly threads: number;
  readonly signal?: AbortSignal;
}

/** Scores models on held-out data against the dense one, whose outputs it keeps. */
export class Scorer {
  readonly #objective: TrainedObjective;
  readonly #batches: readonly (readonly EncodedExample[])[];
  readonly #padId: number;
  readonly #options: ScoreOptions;
  #dense: readonly ScoredRows[] | undefined;

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
    this.#dense = await this.#run(graph);
    return this.#measure(this.#dense);
  }

  /** Quality of a model of the same inputs and outputs. */
  async score(graph: Graph): Promise<Quality> {
    return this.#measure(await this.#run(graph));
  }

  async #run(graph: Graph): Promise<ScoredRows[]> {
    const { objective, engine, threads, signal } = { objective: this.#objective, ...this.#options };
    const runner = await openRunner(objective.prepare(graph), { ...engine, threads });
    try {
      const results: ScoredRows[] = [];
      for (const examples of this.#batches) {
        stopIfAborted(signal, "learn");
        const batch = feedsFor(graph, examples, this.#padId);
        const outputs = await runner.run(batch.feeds);
        const values = Float32Array.from(numbersOf(outputs[objective.output]!));
        results.push({ rows: rowsOf(values, batch, objective.perToken), batch });
      }
      return results;
    } finally {
      await runner.dispose();
    }
  }

  #measure(results: readonly ScoredRows[]): Quality {
    const { objective } = this.#objective;
    const dense = this.#dense!.flatMap(({ rows }) => rows); // scoreDense comes first
    const own = results.flatMap(({ rows }) => rows);
    if (objective === "embedding" || isHidden(this.#objective))
      return embeddingQuality(own, dense, objective);
    const quality: Record<string, number> = {
      loss: mean(own.map((row, i) => rowDivergence(dense[i]!, row))),
      agreement: mean(own.map((row, i) => Number(argmax(row) === argmax(dense[i]!)))),
    };
    const labels = results.flatMap(({ batch }) => batch.examples.map(({ label }) => label));
    if (labels.length === own.length && labels.every((label) => label !== undefined)) {
      quality["accuracy"] = mean(own.map((row, i) => Number(argmax(row) === labels[i])));
    }
    if (objective === "labels") quality["loss"] = mean(own.map((row, i) => rowLoss(row, labels[i]!)));
    if (this.#objective.perToken) Object.assign(quality, languageQuality(results, objective));
    return quality;
  }
}

const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

const isHidden = ({ output }: TrainedObjective): boolean => output !== "logits" && output !== "start_logits";

/** `−log softmax(row)[label]` */
function rowLoss(row: Float32Array, label: number): number {
  const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
  return Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0)) + largest - row[label]!;
}

function languageQuality(results: readonly ScoredRows[], objective: LearnReport["objective"]): Quality {
  const losses = results.flatMap(({ rows, batch }) => nextTokenLoss(rows, batch));
  if (losses.length === 0) return {};
  const loss = mean(losses);
  return { perplexity: Math.exp(loss), ...(objective === "next-token" && { loss }) };
}

/** Mean cosine with the dense model's rows, and how far the order of the pairwise similarities is the same. */
function embeddingQuality(
  own: readonly Float32Array[],
  dense: readonly Float32Array[],
  objective: LearnReport["objective"],
): Quality {
  const cosines = own.map((row, i) => cosine(row, dense[i]!));
  const squared = own.map(
    (row, i) => row.reduce((sum, x, k) => sum + (x - dense[i]![k]!) ** 2, 0) / row.length,
  );
  const quality = { loss: mean(squared), cosine: mean(cosines) };
  if (objective !== "embedding") return quality;
  return { ...quality, rankCorrelation: rankCorrelation(similarities(own), similarities(dense)) };
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  return dot / (Math.hypot(...a) * Math.hypot(...b) || 1);
}
