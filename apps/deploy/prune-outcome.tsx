import { Notice } from "../ui/controls.tsx";
import { FiguresTable } from "../ui/figures-table.tsx";
import { bytes, count, percent, short } from "../ui/format.ts";
import type { ModelFacts, PruneOutcome as Outcome } from "./deployment.ts";

/** A figure before and after, and what part of it is left. */
const row = (
  name: string,
  [a, b]: readonly [number, number],
  show: (value: number) => string,
): readonly [string, readonly string[]] => [name, [show(a), show(b), percent(a === 0 ? 1 : b / a)]];

/** What pruning did, in a table. */
export function PruneOutcome({
  before,
  outcome: { facts, removed, keptBack, maxAbsDiff },
}: {
  readonly before: ModelFacts;
  readonly outcome: Outcome;
}) {
  return (
    <>
      <FiguresTable
        label="Before and after pruning"
        columns={["before", "after", "left"]}
        rows={[
          row("parameters", [before.parameters, facts.parameters], count),
          row("multiply–adds", [before.macs, facts.macs], count),
          row("file", [before.bytes, facts.bytes], bytes),
        ]}
      />
      <p class="hint">
        Masked and pruned model differ by at most {short(maxAbsDiff)} on random inputs, in onnxruntime-web.
      </p>
      <details>
        <summary>Groups left in each of {removed.length} sites</summary>
        <ul>
          {removed.map(({ site, groups, kept }) => (
            <li key={site}>
              {site}: {kept} of {groups}
            </li>
          ))}
        </ul>
      </details>
      {keptBack.map(({ site, count: number, reason }) => (
        <Notice key={`${site} ${reason}`}>
          {site}: {number} groups stay, because {reason}
        </Notice>
      ))}
    </>
  );
}
