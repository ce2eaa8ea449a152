import type { Value } from "../graph/graph.ts";
import { type FoundGelu, findGelus } from "../training-form/raise-gelu.ts";
import type { FuseContext } from "./fuse-context.ts";
import { type FusedOperator, targetWithout } from "./runtime-operators.ts";

/**
 * Puts Gelu, or BiasGelu with the bias that is added before it, in the place of the nodes that compute it with Erf, and FastGelu, with or
 * without bias, in that of those that compute it with Tanh. Returns their number.
 */
export function fuseGelus(context: FuseContext): number {
  const { pattern, inference, skipped } = context;
  let edits = 0;
  let failed = 0;
  for (const found of findGelus(pattern)) {
    const { root, x } = found;
    const name = context.graph.producer(root)?.name ?? root.name;
    const reason = inference.types.get(x)?.dtype === "float32" ? whyNot(context, found) : "it is not float32";
    if (reason === undefined) {
      edits += 1;
      continue;
    }
    failed += 1;
    skipped.push({ pattern: "gelu", node: name, reason });
  }
  if (failed > 0) return edits;
  for (const { name } of context.graph.nodes("Erf"))
    skipped.push({
      pattern: "gelu",
      node: name,
      reason: "what is around its Erf is no Gelu, or is read elsewhere",
    });
  return edits;
}

/** Fuses one; else says why not. */
function whyNot(context: FuseContext, { root, x, approximate }: FoundGelu): string | undefined {
  const { pattern, settings, fused } = context;
  const biased = biasOf(context, x);
  const forms: readonly (readonly [op: FusedOperator, inputs: readonly Value[]])[] = [
    ...(biased ? [[approximate === "none" ? "BiasGelu" : "FastGelu", biased] as const] : []),
    [approximate === "none" ? "Gelu" : "FastGelu", [x]],
  ];
  const possible = forms.filter(([op]) => !targetWithout(settings.targets, op));
  for (const [op, inputs] of possible) {
    if (!pattern.raise(root, inputs, () => ({ op, domain: "com.microsoft", inputs, attributes: {} })))
      continue;
    const node = context.graph.nodes(op, "com.microsoft").at(-1)!;
    fused.push({ pattern: "gelu", op: `com.microsoft.${op}`, node: node.name });
    return undefined;
  }
  return possible.length === 0 ? "no target has the operator" : "something else reads what it computes";
}

/** y and the vector b, of `x = y + b`. */
function biasOf({ pattern, graph, inference }: FuseContext, x: Value): readonly Value[] | undefined {
  const width = inference.types.get(x)?.shape?.at(-1);
  for (const [y, bias] of pattern.orders(x, "Add")) {
    const isVector = bias.data?.shape.length === 1 && bias.data.shape[0] === width && !graph.isInput(bias);
    if (isVector && inference.types.get(y)?.shape?.at(-1) === width) return [y, bias];
  }
  return undefined;
}
