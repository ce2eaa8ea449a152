import type { Outcome } from "../training/point.ts";
import type { MethodContext } from "./training-run.ts";

/** A way to a smaller model, with the same steps, optimiser, schedule and batches as the others. */
export interface Method {
  readonly name: string;
  /** What its strengths are: values of λ, which are runs of their own, or fractions of groups, which share the training of the dense model. */
  readonly strength: "lambda" | "fraction";
  /** How plots show it. */
  readonly colour: number;
  readonly dashed?: boolean;
  /** One model for each strength. */
  readonly run: (context: MethodContext, strengths: readonly number[]) => Promise<readonly Outcome[]>;
}
