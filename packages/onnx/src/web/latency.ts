/** How long runs took, in milliseconds. */
export interface LatencyStats {
  /** Runs counted: all since loading, without warm-up. */
  readonly runs: number;
  /** Of the last 1000 runs; NaN before the first one. */
  readonly medianMs: number;
  /** 95 of 100 runs were as fast or faster. */
  readonly p95Ms: number;
  readonly lastMs: number;
}

/** Keeps the times of the last runs. */
export class LatencyRecord {
  readonly #times: number[] = [];
  #runs = 0;

  add(milliseconds: number): void {
    this.#times[this.#runs % 1000] = milliseconds;
    this.#runs += 1;
  }

  stats(): LatencyStats {
    const sorted = this.#times.toSorted((a, b) => a - b);
    return {
      runs: this.#runs,
      medianMs: (rank(sorted, (sorted.length - 1) / 2) + rank(sorted, sorted.length / 2)) / 2,
      p95Ms: rank(sorted, Math.ceil(0.95 * sorted.length) - 1),
      lastMs: this.#times[(this.#runs - 1) % 1000] ?? Number.NaN,
    };
  }
}

const rank = (sorted: readonly number[], at: number): number => sorted[Math.floor(at)] ?? Number.NaN;
