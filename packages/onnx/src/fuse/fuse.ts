import { DgateError } from "@dgate/core";
import type { Dim, Graph } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { editSubgraphs, graphsWithin } from "../training-form/subgraphs.ts";
import { fuseAttention } from "./fuse-attention.ts";
import { FuseContext, type FuseSettings } from "./fuse-context.ts";
import { fuseGelus } from "./fuse-gelus.ts";
import { fuseNorms } from "./fuse-norms.ts";
import type { FusedPlace, FuseReport, SkippedPlace } from "./fuse-report.ts";
import { checkTargets, defaultTargets, type FuseTarget } from "./runtime-operators.ts";

/** Options of `fuse`. */
export interface FuseOptions {
  /**
   * The operator for attention layers (default `MultiHeadAttention`). `MultiHeadAttention` reads Q, K and V: their projections stay MatMul
   * nodes, which can be quantized. `Attention` projects its input itself with one packed weight, which onnxruntime 1.14 has too. `false`:
   * they stay as they are.
   */
  readonly attention?: "MultiHeadAttention" | "Attention" | false;
  /** Whether normalisations become one node (default true). */
  readonly norms?: boolean;
  /**
   * Whether the sum before a normalisation becomes one node with it, SkipLayerNormalization. By default where the model is for WebGPU alone:
   * on CPU the one node is slower than the two, see `bench/fused-attention.bench.mjs`.
   */
  readonly sums?: boolean;
  /** Whether Gelus become one node (default true). */
  readonly gelus?: boolean;
  /**
   * The runtimes that the model is for; an operator that one of them lacks is not put in. By default those of @huggingface/transformers 3
   * and 4: onnxruntime-node 1.21, onnxruntime-web 1.22, or newer.
   */
  readonly targets?: readonly FuseTarget[];
}

/**
 * A copy of a model with onnxruntime's fused operators in the place of the nodes that compute the same: attention, normalisations with
 * the sums before them, Gelus. Subgraphs included. A runtime fuses what it recognises itself when it loads a model, attention only where the
 * weights of Q, K and V are square: not once heads were removed. Here the number of heads does not matter.
 *
 * The result computes the same up to rounding. A layer stays as it is where that cannot be proven, where its target lacks the operator, or
 * where something else reads a value that would be gone; the report says why.
 *
 * @throws DgateError `FORMAT` for a cyclic graph, `OPTION` for targets or an operator that are not known
 */
export function fuse(graph: Graph, options: FuseOptions = {}): { graph: Graph; report: FuseReport } {
  const settings = settingsOf(options);
  const copy = graph.clone();
  const report = { fused: [] as FusedPlace[], skipped: [] as SkippedPlace[] };
  if (fuseGraph(copy, settings, report) > 0) {
    for (const each of graphsWithin(copy)) addDomain(each);
  }
  return { graph: copy, report };
}

function settingsOf({
  attention = "MultiHeadAttention",
  norms = true,
  gelus = true,
  targets = defaultTargets,
  sums = targets.every(({ provider }) => provider === "webgpu"),
}: FuseOptions): FuseSettings {
  checkTargets(targets);
  if (attention !== false && attention !== "MultiHeadAttention" && attention !== "Attention") {
    throw new DgateError(
      "OPTION",
      `fuse: attention is ${JSON.stringify(attention)}; expected "MultiHeadAttention", "Attention" or false.`,
    );
  }
  return { attention, norms, sums, gelus, targets };
}

function addDomain({ opsets }: Graph): void {
  if (!opsets.has("com.microsoft")) opsets.set("com.microsoft", 1);
}

function fuseGraph(
  graph: Graph,
  settings: FuseSettings,
  report: { readonly fused: FusedPlace[]; readonly skipped: SkippedPlace[] },
  outer: ReadonlyMap<string, readonly Dim[]> = new Map(),
): number {
  const inference = inferShapes(graph, { outer });
  const known = new Map([...inference.contents].map(([{ name }, content]) => [name, content]));
  const inside = editSubgraphs(graph, inference, (inner) => fuseGraph(inner, settings, report, known));
  const context = new FuseContext(graph, inference, settings, report);
  const edits =
    (settings.attention === false ? 0 : fuseAttention(context)) +
    (settings.gelus ? fuseGelus(context) : 0) +
    (settings.norms ? fuseNorms(context) : 0);
  if (edits + context.emit.added > 0) {
    graph.sortNodes();
    removeDeadCode(graph);
  }
  return inside + edits;
}
