import { reportPage, type TrainDocument } from "@dgate/cli/report";
import type { DeployedModels } from "./deployed-models.ts";
import { type Controls, deadFraction, side, type TrainingMoment, type TrainingSettings } from "./training.ts";

interface ReportOptions {
  readonly settings: TrainingSettings;
  readonly recipe: { readonly momentum: number; readonly warmupEpochs: number };
  /** Digits to train on and to test with. */
  readonly counts: readonly [training: number, test: number];
  /** After each epoch, from the start on. */
  readonly moments: readonly TrainingMoment[];
  /** What controls the training had, and from which epoch on. */
  readonly changes: readonly ControlChange[];
  readonly deployed: DeployedModels;
  readonly backend: string;
}

/** Controls that a training took. */
export interface ControlChange extends Controls {
  /** From which they hold, with a fraction. */
  readonly epoch: number;
}

/** The page that `dgate train` writes of a training, of this one. */
export const reportOf = (options: ReportOptions): string =>
  reportPage({ runs: [documentOf(options)], note: noteOf(options.changes) });

/** The page names one D and one λ: the last ones. */
function noteOf(changes: readonly ControlChange[]): string {
  if (changes.length < 2) return "";
  const told = changes.map(
    ({ epoch, depth, lambda }, i) =>
      `D = ${depth}, λ = ${Number(lambda.toPrecision(3))} from ${i === 0 ? "the start" : `epoch ${epoch.toFixed(2)}`}`,
  );
  return `D or λ was changed while it trained: ${told.join("; ")}. Where this page names one D or λ, it is the last.`;
}

function documentOf({
  settings,
  recipe,
  counts,
  moments,
  changes,
  deployed,
  backend,
}: ReportOptions): TrainDocument {
  const { summary, shrinkage, accuracy, latency } = deployed;
  const sizeAt = (i: 0 | 1): TrainDocument["before"] => ({
    parameters: summary.parameters[i],
    macs: summary.macs[i],
    bytes: summary.bytes[i],
  });
  const [before, after] = [sizeAt(0), sizeAt(1)];
  const last = moments.at(-1)!;
  const { depth, lambda } = changes.at(-1)!;
  const pixels = shrinkage.sites.find(({ kind }) => kind === "inputs");
  const all = Array.from({ length: side * side }, (_, i) => i);
  return {
    accuracy: { ...last.accuracy!, pruned: accuracy },
    groups: { total: summary.groups.of, active: summary.groups.kept },
    parameters: after.parameters,
    macs: after.macs,
    depth,
    lambda,
    files: [],
    maxAbsDiff: summary.maxAbsDiff,
    metric: "accuracy",
    settings: {
      data: "drawn digits",
      target: null,
      arch: settings.network,
      method: "dgate",
      depth,
      lambda,
      lambdaSchedule: "up-and-down",
      sites: [...new Set(last.sites.map(({ kind }) => kind))],
      epochs: settings.epochs,
      batch: settings.batch,
      lr: settings.rate,
      momentum: recipe.momentum,
      optimizer: "sgd",
      warmup: Number(recipe.warmupEpochs.toFixed(2)),
      initialisation: "balanced",
      threshold: deadFraction,
      seed: settings.seed,
      trainSize: counts[0],
      testSize: counts[1],
    },
    backend,
    backendDetails: backend,
    seconds: last.seconds,
    before,
    after,
    sites: shrinkage.sites.map(({ site, kind, groups, active, near, threshold }) => ({
      site,
      kind,
      groups,
      kept: active,
      near,
      threshold,
      norms: [...(last.sites.find((each) => each.site === site)?.norms ?? [])],
    })),
    inputs: pixels
      ? { total: all.length, kept: shrinkage.inputs[0]?.kept ?? all, names: null, image: [side, side] }
      : null,
    history: moments.map(({ epoch, time, lambdaTime, loss, accuracy: scores, sites }) => ({
      epoch,
      time,
      lambdaTime,
      loss: loss ?? null,
      accuracy: scores!.gated,
      sites: sites.map(({ kind, norms, ...rest }) => ({ ...rest, kind, norms: [...norms] })),
    })),
    latency: {
      runtime: "onnxruntime-web",
      batch: 32,
      dense: latency[0],
      pruned: latency[1],
      speedup: latency[0].medianMs / latency[1].medianMs,
    },
    warnings: summary.warnings,
  };
}
