import type { LearnReport, Quality } from "../learn/learn-report.ts";
import type { PrunedTransformer } from "../prune/pruned-transformer.ts";
import { table } from "./markdown.ts";

/**
 * Whether a report speaks of the pruned model: what it found worth keeping is there, and all else is gone or turned off. `prune` can be asked for
 * other groups than were learned.
 */
export function isLearned({ kept: learned }: LearnReport, { gates, kept }: PrunedTransformer): boolean {
  return gates.internals.parts.every((part) => {
    const values = gates.gatesOf(part);
    return part.blocks.every(({ name, groups }) => {
      const wanted = new Set(learned.get(name) ?? all(groups));
      const stayed = new Set(kept.get(name) ?? all(groups));
      return all(groups).every((group) =>
        wanted.has(group) ? stayed.has(group) : !stayed.has(group) || values.get(name)?.[group] === 0,
      );
    });
  });
}

const all = (groups: number): number[] => Array.from({ length: groups }, (_, group) => group);

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
