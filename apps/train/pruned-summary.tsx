import { Notice } from "../ui/controls.tsx";
import { FiguresTable } from "../ui/figures-table.tsx";
import { bytes, count, percent, short } from "../ui/format.ts";
import type { PrunedSummary as Outcome } from "./training.ts";

/** What pruning did, in a table. */
export function PrunedSummary({ of }: { readonly of: Outcome }) {
  const { accuracy, parameters, macs, latencyMs } = of;
  return (
    <>
      <FiguresTable
        label="Dense and pruned"
        columns={["dense", "pruned"]}
        rows={[
          ["right on fresh digits", [percent(accuracy.dense, 2), percent(accuracy.pruned, 2)]],
          ["parameters", parameters.map(count)],
          ["multiply–adds for a digit", macs.map(count)],
          ["ONNX file", of.bytes.map(bytes)],
          ["32 digits in onnxruntime-web (WASM)", latencyMs.map((ms) => `${ms.toFixed(2)} ms`)],
        ]}
      />
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
