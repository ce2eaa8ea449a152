import type { Result, Setup } from "../experiment.ts";
import type { Backend } from "../training/task.ts";

/** One line of a results file. */
export interface RunRecord {
  readonly hash: string;
  readonly setup: Setup;
  readonly result: Result;
  readonly backend: Backend;
  readonly seconds: number;
  /** Of the repository; `+` if it had changes. */
  readonly commit: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly cpu: string;
}
