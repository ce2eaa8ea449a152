import type { Node } from "../graph/graph.ts";
import { raiseLayerNorms } from "../training-form/raise-layer-norm.ts";
import type { FuseContext } from "./fuse-context.ts";
import { isMiss } from "./miss.ts";
import { raiseRmsNorms } from "./raise-rms-norm.ts";
import { type FusedOperator, targetWithout } from "./runtime-operators.ts";
import { skipNorm } from "./skip-norm.ts";

/**
 * Puts LayerNormalization and SimplifiedLayerNormalization in the place of the nodes that compute them, and, with `sums`, their Skip
 * forms in the place of a residual Add with the normalisation behind it. Returns the number of operators put in.
 */
export function fuseNorms(context: FuseContext): number {
  const edits =
    raised(context, "LayerNormalization", () => raiseLayerNorms(context.pattern)) +
    raised(context, "SimplifiedLayerNormalization", () => raiseRmsNorms(context.pattern));
  for (const node of leftOver(context)) {
    const reason =
      "the nodes around it are no normalisation over the last axis, or something else reads what they compute";
    context.skipped.push({ pattern: "normalisation", node: node.name, reason });
  }
  return edits + (context.settings.sums ? fuseSkips(context) : 0);
}

function raised(context: FuseContext, op: FusedOperator, raise: () => number): number {
  const { graph, settings, fused } = context;
  if (targetWithout(settings.targets, op)) return 0;
  const before = new Set(graph.nodes(op));
  const edits = raise();
  for (const node of graph.nodes(op))
    if (!before.has(node)) fused.push({ pattern: "normalisation", op, node: node.name });
  return edits;
}

/** Means of squares, which are left of normalisations that were not recognised. */
function leftOver({ graph, pattern }: FuseContext): readonly Node[] {
  return graph.nodes("ReduceMean").filter(({ inputs: [x], outputs: [mean] }) => {
    if (!x || !mean || graph.uses(mean).length === 0) return false;
    const [base, exponent] = pattern.inputs(x, "Pow") ?? [];
    const [a, b] = pattern.inputs(x, "Mul") ?? [];
    return (base !== undefined && pattern.scalar(exponent) === 2) || (a !== undefined && a === b);
  });
}

function fuseSkips(context: FuseContext): number {
  const { graph, settings, fused, skipped } = context;
  let edits = 0;
  for (const node of graph.sorted()) {
    if (
      node.domain !== "" ||
      (node.op !== "LayerNormalization" && node.op !== "SimplifiedLayerNormalization")
    )
      continue;
    const op = `Skip${node.op}` as const;
    if (targetWithout(settings.targets, op)) continue;
    const made = skipNorm(context, node, op);
    if (!made) continue;
    if (isMiss(made)) {
      skipped.push({ pattern: "normalisation", node: node.name, reason: made.reason });
      continue;
    }
    const at = fused.findIndex(
      ({ pattern, node: name }) => pattern === "normalisation" && name === node.name,
    );
    if (at >= 0) fused.splice(at, 1);
    fused.push({ pattern: "normalisation", op: `com.microsoft.${op}`, node: made.name });
    edits += 1;
  }
  return edits;
}
