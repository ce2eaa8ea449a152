import type { HeadGates } from "../head-gates.ts";
import type { LearnReport } from "../learn/learn-report.ts";
import type { KeptGroups } from "./choose-groups.ts";

/**
 * Whether a report speaks of the pruned model: what it found worth keeping is there, and all else is gone or turned off. `prune` can be asked for
 * other groups than were learned.
 */
export function isLearned(
  { kept: learned }: Pick<LearnReport, "kept">,
  gates: HeadGates,
  kept: KeptGroups,
): boolean {
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
