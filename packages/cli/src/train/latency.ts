import type { Runner } from "@dgate/onnx";
import type { LatencyFigures } from "./document.ts";

/** A model to be timed on given inputs. */
export interface Timed {
  readonly runner: Runner;
  readonly feeds: Parameters<Runner["run"]>[0];
}

/** Most time spent on measuring, in milliseconds. */
const BUDGET_MS = 4000;

/**
 * Times models side by side: each round runs every model once, in turn, so that a slow moment of the machine strikes all alike.
 *
 * @param rounds at most so many after five for warm-up, fewer if they would take more than four seconds
 */
export async function timeInterleaved(
  models: readonly Timed[],
  { rounds = 200, signal }: { readonly rounds?: number; readonly signal?: AbortSignal } = {},
): Promise<LatencyFigures[]> {
  for (let i = 0; i < 5; i++) for (const { runner, feeds } of models) await runner.run(feeds);
  const times: number[][] = models.map(() => []);
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    for (const [i, { runner, feeds }] of models.entries()) {
      const before = performance.now();
      await runner.run(feeds);
      times[i]!.push(performance.now() - before);
    }
    const spent = performance.now() - start;
    if (signal?.aborted || (round >= 9 && spent > BUDGET_MS)) break;
  }
  return times.map((samples) => {
    const sorted = samples.sort((a, b) => a - b);
    return { medianMs: quantile(sorted, 0.5), p95Ms: quantile(sorted, 0.95) };
  });
}

/** The value below which the given share of sorted samples lies, to the microsecond. */
function quantile(sorted: readonly number[], share: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return Math.round(value * 1000) / 1000;
}
