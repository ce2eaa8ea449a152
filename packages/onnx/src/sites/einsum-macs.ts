import type { Dim } from "../graph/graph.ts";
import type { NodeView } from "../infer/view.ts";
import { einsumLabels } from "../ops/einsum.ts";

/** Sizes by label. */
type Labels = ReadonlyMap<string, number>;

/**
 * Multiply–adds of an Einsum, operands taken from left to right: each further operand costs the product of the sizes of
 * all labels that are still around, if the step sums over one of them. A step that sums over nothing is an element-wise or
 * outer product and does not count, as elsewhere.
 *
 * @returns 0 where the equation does not fit the operands
 */
export function einsumMacs(view: NodeView, size: (dim: Dim) => number): number {
  const labels = einsumLabels(view);
  if (!labels) return 0;
  const operands = labels.inputs.map(
    (own, i): Labels => new Map(own.map((label, axis) => [label, size(view.shape(i)?.[axis])])),
  );
  let macs = 0;
  let held = operands[0] ?? new Map<string, number>();
  operands.slice(1).forEach((operand, i) => {
    const both = merged(held, operand);
    const needed = new Set([...labels.output, ...labels.inputs.slice(i + 2).flat()]);
    const stays = [...both].filter(([label]) => needed.has(label));
    if (stays.length < both.size) macs += [...both.values()].reduce((a, b) => a * b, 1);
    held = new Map(stays);
  });
  return macs;
}

/** A label has one size; an axis of size 1 stretches. */
function merged(a: Labels, b: Labels): Labels {
  const sizes = new Map(a);
  for (const [label, size] of b) sizes.set(label, Math.max(size, sizes.get(label) ?? 1));
  return sizes;
}
