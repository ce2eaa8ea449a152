import type { BackendName, SiteKind } from "@dgate/tfjs";
import type { LambdaScheduleName, Method } from "./document.ts";

/** What `dgate train` is asked for, defaults filled in. */
export interface TrainRequest {
  readonly data: string;
  readonly target?: string | undefined;
  readonly arch: string;
  readonly method: Method;
  readonly depth: number;
  /** λ; of a schedule, its largest value. */
  readonly lambda: number;
  readonly lambdaSchedule: LambdaScheduleName;
  /** Those of the architecture if left out. */
  readonly sites?: readonly SiteKind[] | undefined;
  readonly epochs: number;
  readonly batch: number;
  readonly lr: number;
  readonly momentum: number;
  readonly optimizer: "sgd" | "adam";
  /** Epochs in which the rate rises from 0. */
  readonly warmup: number;
  readonly initialisation: "balanced" | "ones" | "variance-matched";
  readonly threshold: number;
  readonly seed: number;
  readonly backend: BackendName | "auto";
  /** Whether to train the dense baseline too. */
  readonly withDense: boolean;
  readonly trainSize?: number | undefined;
  readonly testSize?: number | undefined;
  readonly checkpoint?: string | undefined;
  readonly resume: boolean;
  readonly out?: string | undefined;
  readonly force: boolean;
  /** Whether to say why faster backends were not taken. */
  readonly verbose: boolean;
}
