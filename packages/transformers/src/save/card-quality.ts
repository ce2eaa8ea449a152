import type { LearnReport, Quality } from "../learn/learn-report.ts";
import { table } from "./markdown.ts";

/** What was measured on held-out data while learning. */
export function qualitySection({ dense, pruned, data, objective, steps }: LearnReport): string[] {
  const rows = Object.keys(dense.quality).map((name) => [
    name,
    printed(dense.quality, name),
    printed(pruned.quality, name),
  ]);
  if (dense.latency && pruned.latency) {
    rows.push(["latency, median ms", dense.latency.medianMs.toFixed(2), pruned.latency.medianMs.toFixed(2)]);
  }
  return [
    "## Quality",
    table(["on held-out data", "dense", "pruned"], rows),
    `${data.heldOut} examples were held out; the gates were learned from ${data.examples} others in ${steps} steps (objective: ${objective}).`,
  ];
}

const printed = (quality: Quality, name: string): string => quality[name]?.toFixed(4) ?? "";
