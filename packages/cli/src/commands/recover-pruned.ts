import { formatTable } from "@dgate/core";
import { countCosts, type Graph, type Pruned, recover, type RecoveryReport } from "@dgate/onnx";
import type { Context } from "../io/context.ts";
import { readCalibration } from "./calibration-file.ts";

/** A recovered model and what it took. */
export interface Recovered {
  readonly graph: Graph;
  /** Parameters and MACs: a layer may have got a bias. */
  readonly size: { readonly parameters: number; readonly macs: number };
  readonly recovery: RecoveryReport;
}

/** What `--calibrate FILE` does: fits the surviving weights of a pruned model on the inputs in a file. */
export async function recoverPruned(
  path: string,
  dense: Graph,
  pruned: Pruned,
  { progress, signal }: Context,
  dims: Readonly<Record<string, number>>,
): Promise<Recovered> {
  const { batches, validation, left } = await readCalibration(path, dense);
  if (left > 0) progress.line(`${path}: the last ${left} rows fill no batch and are not used`);
  const { graph, report } = await recover(dense, pruned, batches, {
    runtime: "web",
    signal,
    ...(validation.length > 0 && { validation }),
    onProgress: ({ phase, done, total }) =>
      progress.bar(phase === "compare" ? 1 : done / total, `recovering layer ${done + 1} of ${total}`),
  });
  const { parameters, macs } = countCosts(graph, dims);
  return { graph, size: { parameters, macs }, recovery: report };
}

const percent = (error: number): string => `${(100 * error).toPrecision(3)} %`;

/** Lines about a recovery, for people. */
export function describeRecovery({ layers, skipped, notes, ...errors }: RecoveryReport): string[] {
  const { outputErrorBefore, outputErrorAfter, validation } = errors;
  const heldOut = validation
    ? `, ${percent(validation.outputErrorBefore)} → ${percent(validation.outputErrorAfter)} on held-out ones`
    : "";
  const rows = layers.map((layer) => [
    layer.node,
    layer.rows,
    ...[layer.errorBefore, layer.errorAfter].map(percent),
    ...(validation ? [percent(layer.validation?.errorAfter ?? layer.errorAfter)] : []),
  ]);
  const header = ["fitted layer", "rows", "error before", "after", ...(validation ? ["held out"] : [])];
  return [
    ...(rows.length > 0 ? ["", formatTable(header, rows), ""] : []),
    `squared error of the outputs on the calibration inputs: ${percent(outputErrorBefore)} → ${percent(outputErrorAfter)}${heldOut}`,
    ...layers.flatMap((layer) => layer.notes.map((note) => `${layer.node}: ${note}`)),
    ...skipped.map(({ node, reason }) => `${node} was not fitted: ${reason}`),
    ...notes,
  ];
}
