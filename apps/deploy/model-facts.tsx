import { Notice, Scroll, Stats } from "../ui/controls.tsx";
import { bytes, count } from "../ui/format.ts";
import type { ModelFacts as Facts } from "./deployment.ts";

/** What a model is, and what of it can be removed. */
export function ModelFacts({ of }: { readonly of: Facts }) {
  return (
    <div class="card">
      <h3>{of.name}</h3>
      <Stats
        of={[
          ["size", bytes(of.bytes)],
          ["parameters", count(of.parameters)],
          ["multiply–adds", count(of.macs)],
        ]}
      />
      <p class="hint">
        {of.inputs.join("; ")} → {of.outputs.join("; ")}
        {of.assumed.length > 0 &&
          `. Counted and run with ${of.assumed.map(([name, size]) => `${name} = ${size}`).join(", ")}`}
        {of.quantized && ". It rounds to integers as it runs"}
      </p>
      <Scroll label={`What can be removed of ${of.name}`}>
        <table>
          <caption>What can be removed</caption>
          <thead>
            <tr>
              <th scope="col">kind</th>
              <th scope="col">sites</th>
              <th scope="col">groups</th>
              <th scope="col">can go</th>
            </tr>
          </thead>
          <tbody>
            {of.sites.map(({ kind, sites, groups, prunable }) => (
              <tr key={kind}>
                <th scope="row">{kind}</th>
                <td>{count(sites)}</td>
                <td>{count(groups)}</td>
                <td>{count(prunable)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {of.sites.length === 0 && (
        <Notice>
          Nothing in this model can be removed: no layer was found whose channels nothing else holds.
        </Notice>
      )}
      {of.sites.some(({ reasons }) => reasons.length > 0) && (
        <details>
          <summary>Why the rest stays</summary>
          <ul>
            {of.sites.flatMap(({ kind, reasons }) =>
              reasons.map(([reason, sites]) => (
                <li key={`${kind} ${reason}`}>
                  {kind}, {sites === 1 ? "1 site" : `${sites} sites`}: {reason}
                </li>
              )),
            )}
          </ul>
        </details>
      )}
      <details>
        <summary>Operators ({of.operators.reduce((sum, [, number]) => sum + number, 0)})</summary>
        <p>{of.operators.map(([op, number]) => `${op} × ${number}`).join(", ")}</p>
      </details>
    </div>
  );
}
