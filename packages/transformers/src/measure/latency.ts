import { stopIfAborted } from "../stop-if-aborted.ts";
import { type Graph, openRunner, type Runner, type RunnerOptions } from "@dgate/onnx";
import type { Batch } from "@dgate/onnx";

/** Warm latency of a model. */
export interface Latency {
  readonly medianMs: number;
  readonly p95Ms: number;
}

/** How latency is measured. */
export interface LatencyOptions extends Pick<RunnerOptions, "ort" | "runtime" | "threads"> {
  /** Measured runs of each model (default 15), after `warmup` ones (default 3). */
  readonly runs?: number;
  readonly warmup?: number;
  readonly signal?: AbortSignal;
}

/**
 * Warm latency of several models on the same inputs, side by side: the models take turns, run by run, so that a busy machine slows all of
 * them alike. Compare the numbers of one call only.
 *
 * @param feeds of each model: those of a decoder differ in their caches
 */
export async function compareLatency(
  models: readonly { readonly graph: Graph | Uint8Array; readonly feeds: Batch }[],
  { runs = 15, warmup = 3, signal, ...engine }: LatencyOptions = {},
): Promise<Latency[]> {
  const runners: Runner[] = [];
  try {
    for (const { graph } of models) runners.push(await openRunner(graph, engine));
    const times = models.map((): number[] => []);
    for (let run = 0; run < warmup + runs; run++) {
      stopIfAborted(signal, "latency");
      for (const [at, runner] of runners.entries()) {
        const start = performance.now();
        await runner.run(models[at]!.feeds);
        if (run >= warmup) times[at]!.push(performance.now() - start);
      }
    }
    return times.map(latencyOf);
  } finally {
    for (const runner of runners) await runner.dispose();
  }
}

function latencyOf(times: readonly number[]): Latency {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (fraction: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!;
  return { medianMs: at(0.5), p95Ms: at(0.95) };
}
