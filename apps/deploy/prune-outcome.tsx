import { Notice } from "../ui/controls.tsx";
import { bytes, count, percent, short } from "../ui/format.ts";
import type { ModelFacts, PruneOutcome as Outcome } from "./deployment.ts";

/** What pruning did, in a table. */
export function PruneOutcome({
  before,
  outcome: { facts, removed, keptBack, maxAbsDiff },
}: {
  readonly before: ModelFacts;
  readonly outcome: Outcome;
}) {
  const rows: readonly (readonly [string, number, number, (value: number) => string])[] = [
    ["parameters", before.parameters, facts.parameters, count],
    ["multiply–adds", before.macs, facts.macs, count],
    ["file", before.bytes, facts.bytes, bytes],
  ];
  return (
    <>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">
                <span class="visually-hidden">figure</span>
              </th>
              <th scope="col">before</th>
              <th scope="col">after</th>
              <th scope="col">left</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, a, b, show]) => (
              <tr key={name}>
                <td>{name}</td>
                <td>{show(a)}</td>
                <td>{show(b)}</td>
                <td>{percent(a === 0 ? 1 : b / a)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
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
