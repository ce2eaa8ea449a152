import { reportPage, type TrainDocument } from "@dgate/cli/report";
import type { DeployedModels } from "./deployed-models.ts";
import { type Controls, deadFraction, side, type TrainingMoment, type TrainingSettings } from "./training.ts";

interface ReportOptions {
  readonly settings: TrainingSettings;
  readonly controls: Controls;
  readonly recipe: { readonly momentum: number; readonly warmupEpochs: number };
  /** Digits to train on and to test with. */
  readonly counts: readonly [training: number, test: number];
  /** After each epoch, from the start on. */
  readonly moments: readonly TrainingMoment[];
  readonly deployed: DeployedModels;
  readonly backend: string;
}

/** The page that `dgate train` writes of a training, of this one. */
export const reportOf = (options: ReportOptions): string => reportPage({ runs: [documentOf(options)] });

function documentOf({
  settings,
  controls,
  recipe,
  counts,
  moments,
  deployed,
  backend,
}: ReportOptions): TrainDocument {
  const { summary, shrinkage, accuracy, latency } = deployed;
  const [before, after] = [0, 1].map((i) => ({
    parameters: summary.parameters[i]!,
    macs: summary.macs[i]!,
    bytes: summary.bytes[i]!,
  })) as [TrainDocument["before"], TrainDocument["after"]];
  const last = moments.at(-1)!;
  const pixels = shrinkage.sites.find(({ kind }) => kind === "inputs");
  const all = Array.from({ length: side * side }, (_, i) => i);
  return {
    accuracy: { ...last.accuracy!, pruned: accuracy },
    groups: { total: summary.groups.of, active: summary.groups.kept },
    parameters: after.parameters,
    macs: after.macs,
    depth: last.depth,
    lambda: controls.lambda,
    files: [],
    maxAbsDiff: summary.maxAbsDiff,
    metric: "accuracy",
    settings: {
      data: "drawn digits",
      target: null,
      arch: settings.network,
      method: "dgate",
      depth: last.depth,
      lambda: controls.lambda,
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
