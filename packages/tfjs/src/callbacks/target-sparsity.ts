import {
  type DeadGroupOptions,
  DgateError,
  type TargetSparsityController,
  type TargetSparsityOptions,
  type TargetSparsityState,
  targetSparsityController,
} from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { setLambda, siteReports } from "../gating/inspect.ts";
import type { StatefulCallback } from "./stateful.ts";

/** Options of `targetSparsity`. */
export interface TargetSparsityCallbackOptions extends TargetSparsityOptions {
  /** Only these sites are steered, and counted. Default: all. */
  readonly sites?: readonly string[];
  /** When a group counts as dead. */
  readonly threshold?: Omit<DeadGroupOptions, "keepAtLeast">;
}

/** Steers λ towards a fraction of active groups; see `targetSparsity`. */
export class TargetSparsity extends tf.Callback implements StatefulCallback {
  readonly stateName = "targetSparsity";
  readonly #options: TargetSparsityCallbackOptions;
  readonly #controller: TargetSparsityController;

  constructor(options: TargetSparsityCallbackOptions) {
    super();
    this.#options = options;
    this.#controller = targetSparsityController(options);
  }

  /** λ in force. */
  get lambda(): number {
    return this.#controller.lambda;
  }

  override async onTrainBegin(): Promise<void> {
    setLambda(this.model, this.#controller.lambda, this.#options.sites);
  }

  override async onEpochEnd(): Promise<void> {
    const { sites, threshold } = this.#options;
    const reports = (await siteReports(this.model, threshold)).filter(
      ({ site }) => !sites || sites.includes(site),
    );
    const total = reports.reduce((sum, { groups }) => sum + groups, 0);
    const active = reports.reduce((sum, report) => sum + report.active, 0);
    setLambda(this.model, this.#controller.update(active / total), sites);
  }

  saveState(): unknown {
    return this.#controller.state();
  }

  loadState(state: unknown): void {
    const { lambda, last } = (state ?? {}) as Partial<TargetSparsityState>;
    if (typeof lambda !== "number" || (typeof last !== "number" && last !== null)) {
      throw new DgateError(
        "FORMAT",
        "targetSparsity: the state in the checkpoint is not that of a controller.",
      );
    }
    this.#controller.restore({ lambda, last });
  }
}

/** Adapts λ after every epoch until the wanted fraction of groups is active. */
export function targetSparsity(options: TargetSparsityCallbackOptions): TargetSparsity {
  return new TargetSparsity(options);
}
