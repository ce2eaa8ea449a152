import { formatTable } from "@dgate/core";
import type { TrainDocument } from "./document.ts";

/** A training in a few lines, for people. */
export function describeRun(run: TrainDocument): string {
  const { accuracy, groups, before, after, latency, settings, inputs } = run;
  const rows = [
    [
      "dense",
      figure(accuracy.dense),
      "all",
      number(before.parameters),
      number(before.macs),
      kilobytes(before.bytes),
      milliseconds(latency?.dense.medianMs),
    ],
    ["gated", figure(accuracy.gated), `${groups.active} of ${groups.total}`, "", "", "", ""],
    [
      "pruned",
      figure(accuracy.pruned),
      `${groups.active} of ${groups.total}`,
      number(after.parameters),
      number(after.macs),
      kilobytes(after.bytes),
      milliseconds(latency?.pruned.medianMs),
    ],
  ];
  const header = [
    "",
    run.metric === "r2" ? "R²" : "accuracy",
    "groups",
    "parameters",
    "MACs",
    "ONNX",
    "latency",
  ];
  const shown = settings.method === "dense" ? rows.slice(0, 1) : rows;
  const lines = [formatTable(header, shown)];
  if (latency)
    lines.push(`${timesFaster(latency.speedup)} in onnxruntime-web, ${latency.batch} rows at a time`);
  if (run.maxAbsDiff !== null)
    lines.push(`masked and pruned outputs differ by at most ${run.maxAbsDiff.toExponential(1)}`);
  if (inputs) lines.push(describeInputs(inputs));
  for (const warning of run.warnings) lines.push(`warning: ${warning}`);
  if (run.files.length > 0) lines.push(`wrote ${run.files.join(", ")}`);
  return lines.join("\n");
}

function describeInputs({ kept, total, names }: NonNullable<TrainDocument["inputs"]>): string {
  return `inputs kept: ${kept.length} of ${total}${names ? ` (${names.join(", ")})` : ""}`;
}

/** A model that became slower is said to be so. */
const timesFaster = (speedup: number): string =>
  speedup < 1 ? `${(1 / speedup).toFixed(1)} times slower` : `${speedup.toFixed(1)} times faster`;

const figure = (value: number | null): string => (value === null ? "-" : `${(100 * value).toFixed(2)} %`);
const number = (value: number): string => value.toLocaleString("en");
const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`;
const milliseconds = (value: number | undefined): string =>
  value === undefined ? "-" : `${value.toPrecision(3)} ms`;
