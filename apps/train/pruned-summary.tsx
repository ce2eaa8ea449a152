import { Notice } from "../ui/controls.tsx";
import { bytes, count, percent, short } from "../ui/format.ts";
import type { PrunedSummary as Outcome } from "./training.ts";

/** What pruning did, in a table. */
export function PrunedSummary({ of }: { readonly of: Outcome }) {
  const { accuracy, parameters, macs, latencyMs } = of;
  const rows: readonly (readonly [name: string, before: string, after: string])[] = [
    ["right on fresh digits", percent(accuracy.dense, 2), percent(accuracy.pruned, 2)],
    ["parameters", count(parameters[0]), count(parameters[1])],
    ["multiply–adds for a digit", count(macs[0]), count(macs[1])],
    ["ONNX file", bytes(of.bytes[0]), bytes(of.bytes[1])],
    ["32 digits in onnxruntime-web (WASM)", `${latencyMs[0].toFixed(2)} ms`, `${latencyMs[1].toFixed(2)} ms`],
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
              <th scope="col">dense</th>
              <th scope="col">pruned</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, before, after]) => (
              <tr key={name}>
                <td>{name}</td>
                <td>{before}</td>
                <td>{after}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="hint">
        {of.groups.kept} of {of.groups.of} groups are left. Before removal the gated network had{" "}
        {percent(accuracy.gated, 2)}; masked and pruned outputs differ by at most {short(of.maxAbsDiff)}.
        Nothing was trained after pruning. On the command line it is <code>dgate train</code>.
      </p>
      {of.warnings.map((warning) => (
        <Notice key={warning}>{warning}</Notice>
      ))}
    </>
  );
}
