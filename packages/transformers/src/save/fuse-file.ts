import { DgateError } from "@dgate/core";
import { fuse, type FuseReport, type FuseTarget, type Graph, prove, type VerifyOptions } from "@dgate/onnx";

/** A graph with fused operators, or as it was. */
export interface FusedGraph {
  readonly graph: Graph;
  readonly report: FuseReport;
  /** Absent where nothing was fused. */
  readonly maxRelDiff?: number;
  /** Why the graph stayed as it was. */
  readonly note?: string;
}

/** How a file is fused. */
export interface FuseFileOptions extends Pick<VerifyOptions, "ort" | "runtime" | "dims" | "signal"> {
  readonly targets: readonly FuseTarget[];
  /** Whether projections have to stay MatMul nodes, for they become codes. */
  readonly quantized: boolean;
  /** Whether a fused graph that differs is an error. */
  readonly strict: boolean;
}

/**
 * Puts fused operators into a pruned graph and proves the result equal.
 *
 * @throws DgateError `CHECK` if `strict` and the fused graph differs
 */
export async function fuseFile(graph: Graph, options: FuseFileOptions): Promise<FusedGraph> {
  const { targets, quantized, strict, ...verification } = options;
  const old = targets.some(({ version }) => version.startsWith("1.14."));
  const attention = old ? (quantized ? false : "Attention") : "MultiHeadAttention";
  const fused = fuse(graph, { targets, attention });
  if (fused.report.fused.length === 0) return { graph, report: fused.report };
  try {
    const { maxRelDiff } = await prove(graph, fused.graph, verification);
    return { ...fused, maxRelDiff };
  } catch (error) {
    if (strict || !(error instanceof DgateError) || error.code === "ABORTED") throw error;
    return { graph, report: { ...fused.report, fused: [] }, note: `it stays unfused: ${error.message}` };
  }
}
