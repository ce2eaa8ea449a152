import type { NodeView } from "../infer/view.ts";

/**
 * Whether the places that MaxPool writes beside its maxima are only read by MaxUnpool nodes that put them back where they
 * came from. A place counts all channels before it, so it changes with them; put back into a tensor of the same shape, it
 * points to the same element before and after a cut.
 */
export function indicesReturn(view: NodeView): boolean {
  const indices = view.output(1);
  if (!indices) return true;
  return view.graph.uses(indices).every(({ node, index }) => {
    return node?.op === "MaxUnpool" && node.domain === "" && index === 1;
  });
}

/** The MaxPool whose places a MaxUnpool reads, if it wrote them for a tensor of the very positions that are put back. */
export function undoesPool(view: NodeView): boolean {
  const indices = view.input(1);
  const pool = indices && view.graph.producer(indices);
  const pooled = pool?.op === "MaxPool" && pool.domain === "" ? view.type(pool.inputs[0])?.shape : undefined;
  const restored = view.outputShape();
  if (!pooled || !restored || pooled.length !== restored.length) return false;
  return pooled.slice(2).every((dim, i) => dim !== undefined && dim === restored[i + 2]);
}
