import { join } from "node:path";
import {
  type Dtype,
  dtypeSuffixes,
  type LearnReport,
  type PrunedTransformer,
  type SaveReport,
  type SiteGroup,
  type Stage,
} from "@dgate/transformers";
import type { Examples } from "./examples.ts";
import type { LearnRequest } from "./request.ts";

/** Parameters, multiply–adds and bytes of a model's ONNX files. */
interface Size {
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
}

/** Dense model, gated model and pruned model. */
interface OfStages<T> {
  readonly dense: T;
  readonly gated: T;
  readonly pruned: T;
}

/** What `dgate learn --json` prints. */
export interface LearnDocument {
  readonly model: string;
  readonly out: string;
  readonly task: string;
  readonly objective: string;
  readonly target: LearnRequest["target"] | null;
  readonly train: string;
  readonly depth: number;
  readonly sites: readonly SiteGroup[];
  readonly before: Size;
  /** Bytes are those of the files in the first of `dtypes`. */
  readonly after: Size;
  readonly removed: readonly { readonly site: string; readonly groups: number; readonly kept: number }[];
  /** Largest difference of the pruned from the masked model over random inputs. */
  readonly maxAbsDiff: number;
  readonly quality: OfStages<Stage["quality"]>;
  /** Warm latency of one run, interleaved; `null` with --no-latency. */
  readonly latency: (OfStages<Stage["latency"]> & { readonly speedup: number }) | null;
  readonly data: LearnReport["data"] & { readonly file: string };
  readonly steps: number;
  readonly seconds: number;
  readonly lambda: number;
  readonly evaluations: LearnReport["evaluations"];
  /** Every place that was gated, with the groups that stay. */
  readonly blocks: readonly {
    readonly site: string;
    readonly kind: SiteGroup;
    readonly file: string;
    readonly layer: number;
    readonly groups: number;
    readonly kept: readonly number[];
  }[];
  readonly dtypes: readonly Dtype[];
  /** Versions of transformers.js that the folder is for. */
  readonly versions: readonly number[];
  readonly checks: SaveReport["checks"];
  readonly files: readonly string[];
  readonly warnings: readonly string[];
}

/** What a run has come to. */
interface Outcome {
  readonly request: LearnRequest;
  readonly data: Examples;
  readonly report: LearnReport;
  readonly pruned: PrunedTransformer;
  readonly saved: SaveReport;
}

/** The document of a run. */
export function documentOf({ request, data, report, pruned, saved }: Outcome): LearnDocument {
  const { model, out, train, depth, sites } = request;
  const { dense, gated } = report;
  const removals = pruned.files.flatMap((file) => file.pruned ?? []);
  return {
    model,
    out,
    task: pruned.gates.pipeline.task,
    objective: report.objective,
    target: report.target ?? null,
    train,
    depth,
    sites,
    before: saved.before,
    after: { ...saved.after, bytes: writtenBytes(saved) },
    removed: removals.flatMap((each) => each.report.removed),
    maxAbsDiff: Math.max(0, ...removals.map((each) => each.verification.maxAbsDiff)),
    quality: { dense: dense.quality, gated: gated.quality, pruned: report.pruned.quality },
    latency: latencyOf(report),
    data: { ...report.data, empty: report.data.empty + data.empty, file: request.data },
    steps: report.steps,
    seconds: Math.round(10 * report.seconds) / 10,
    lambda: report.lambda,
    evaluations: report.evaluations,
    blocks: pruned.gates.blocks.map(({ name, group, file, layer, groups }) => {
      const kept = pruned.kept.get(name) ?? Array.from({ length: groups }, (_, i) => i);
      return { site: name, kind: group, file, layer, groups, kept };
    }),
    dtypes: saved.dtypes,
    versions: saved.versions,
    checks: saved.checks,
    files: saved.files.map(({ path }) => join(out, path)),
    warnings: [...report.warnings, ...saved.notes],
  };
}

function latencyOf({ dense, gated, pruned }: LearnReport): LearnDocument["latency"] {
  if (!dense.latency || !pruned.latency) return null;
  const speedup = Math.round((100 * dense.latency.medianMs) / pruned.latency.medianMs) / 100;
  return { dense: dense.latency, gated: gated.latency, pruned: pruned.latency, speedup };
}

/** Bytes of the ONNX files of the first element type, with their external data; second names of a file do not count. */
function writtenBytes({ files, dtypes }: SaveReport): number {
  const own = files.filter(({ path }) => dtypeOf(path) === dtypes[0]);
  const named = own.filter(({ linkOf }) => linkOf === undefined);
  return (named.length > 0 ? named : own.slice(0, 1)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** The element type that a file's name ends in; `undefined` of files that are no ONNX. */
function dtypeOf(path: string): Dtype | undefined {
  const name = /^(.*)\.onnx(_data.*)?$/.exec(path)?.[1];
  if (name === undefined) return undefined;
  const types = Object.keys(dtypeSuffixes) as Dtype[]; // its keys are the types
  return types.find((type) => type !== "fp32" && name.endsWith(dtypeSuffixes[type])) ?? "fp32";
}
