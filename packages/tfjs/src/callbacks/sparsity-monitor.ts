import { DgateError, type DeadGroupOptions, type SparsityReport, sparsityReport } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { gatedSites, groupNorms, siteReports } from "../gating/inspect.ts";
import type { StatefulCallback } from "./stateful.ts";

/** What the monitor saw after so many epochs (0: before training). */
export interface SparsityRecord {
  readonly epoch: number;
  /** Active groups, penalties, gap and imbalance: of each site, and in all. */
  readonly report: SparsityReport;
  /** λ by site. */
  readonly lambda: Readonly<Record<string, number>>;
  /** ‖w_j‖ of every group by site. */
  readonly norms: Readonly<Record<string, readonly number[]>>;
  /** Loss and metrics of the epoch. */
  readonly logs: Readonly<Record<string, number>>;
}

/** Options of `sparsityMonitor`. */
export interface SparsityMonitorOptions {
  /** Where lines go; `false` for nowhere. Default: the console. */
  readonly print?: boolean | ((line: string) => void);
  /** Measure after every so many epochs. Default 1. */
  readonly every?: number;
  /** When a group counts as dead. */
  readonly threshold?: Omit<DeadGroupOptions, "keepAtLeast">;
}

/** Measures the sites of a gated model while it trains; see `sparsityMonitor`. */
export class SparsityMonitor extends tf.Callback implements StatefulCallback {
  readonly stateName = "sparsityMonitor";
  readonly #options: SparsityMonitorOptions;
  #records: SparsityRecord[] = [];

  constructor(options: SparsityMonitorOptions = {}) {
    super();
    const { every = 1 } = options;
    if (!Number.isSafeInteger(every) || every < 1) {
      throw new DgateError(
        "OPTION",
        `sparsityMonitor: every is ${every}, expected a whole number of at least 1.`,
      );
    }
    this.#options = options;
  }

  /** One record per measurement, in order. */
  get records(): readonly SparsityRecord[] {
    return this.#records;
  }

  override async onTrainBegin(): Promise<void> {
    if (this.#records.length === 0) await this.#measure(0, {});
  }

  override async onEpochEnd(epoch: number, logs: tf.Logs = {}): Promise<void> {
    if ((epoch + 1) % (this.#options.every ?? 1) !== 0) return;
    const numbers: [string, number][] = [];
    for (const [name, value] of Object.entries(logs as Record<string, number | tf.Tensor>)) {
      numbers.push([name, typeof value === "number" ? value : (await value.data())[0]!]);
    }
    const record = await this.#measure(epoch + 1, Object.fromEntries(numbers));
    const { print = true } = this.#options;
    if (print === false) return;
    const { epochs } = this.params as { epochs?: number };
    (print === true ? console.log : print)(describeRecord(record, epochs));
  }

  saveState(): unknown {
    return this.#records;
  }

  loadState(state: unknown): void {
    if (!Array.isArray(state)) {
      throw new DgateError("FORMAT", "sparsityMonitor: the state in the checkpoint is no list of records.");
    }
    // Written by saveState; the checkpoint as a whole has been checked.
    this.#records = [...(state as SparsityRecord[])];
  }

  async #measure(epoch: number, logs: Readonly<Record<string, number>>): Promise<SparsityRecord> {
    const report = sparsityReport(await siteReports(this.model, this.#options.threshold));
    const norms = [...(await groupNorms(this.model))].map(([site, values]) => [site, [...values]] as const);
    const lambda = gatedSites(this.model).map((site) => [site.name, site.lambda] as const);
    const record = {
      epoch,
      report,
      lambda: Object.fromEntries(lambda),
      norms: Object.fromEntries(norms),
      logs,
    };
    this.#records.push(record);
    return record;
  }
}

/**
 * Watches sparsity: at the start and after every epoch, active groups per site, smooth and sparse penalty, gap, imbalance
 * and group norms, as `records` and as printed lines. Works with `fit`, `fitDataset` and `train`.
 */
export function sparsityMonitor(options: SparsityMonitorOptions = {}): SparsityMonitor {
  return new SparsityMonitor(options);
}

/** One line: `epoch 3/20 · loss 0.231 · active 142/400 (dense_1.neurons 90/300, …) · …`. */
export function describeRecord({ epoch, report, logs }: SparsityRecord, epochs?: number): string {
  const sites = report.sites.map(({ site, active, groups }) => `${site} ${active}/${groups}`).join(", ");
  const parts = [
    `epoch ${epoch}${epochs === undefined ? "" : `/${epochs}`}`,
    ...Object.entries(logs).map(([name, value]) => `${name} ${value.toPrecision(4)}`),
    `active ${report.active}/${report.groups}${report.sites.length > 1 ? ` (${sites})` : ""}`,
    `near ${report.near}`,
    `smooth ${report.smooth.toPrecision(4)}`,
    `sparse ${report.sparse.toPrecision(4)}`,
    `gap ${report.gap.toExponential(1)}`,
    `imbalance ${report.imbalance.toExponential(1)}`,
  ];
  return parts.join(" · ");
}
