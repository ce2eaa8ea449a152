import type { Graph, ValueType } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";

/**
 * Replaces, in place, declared shapes of computed values that shape inference contradicts, as a model has whose weights were resized. A
 * runtime overlooks them in an output, but not where a gradient goes on from there.
 *
 * @returns the number of shapes that were replaced
 */
export function dropStaleShapes(graph: Graph): number {
  const { types } = inferShapes(graph);
  let edits = 0;
  for (const value of graph.values) {
    const type = types.get(value);
    if (!type || !value.type || !graph.producer(value) || !contradicts(type, value.type)) continue;
    value.type = type;
    edits += 1;
  }
  return edits;
}

function contradicts({ shape }: ValueType, { shape: declared }: ValueType): boolean {
  if (!shape || !declared) return false;
  if (shape.length !== declared.length) return true;
  return shape.some((dim, axis) => {
    const other = declared[axis];
    return typeof dim === "number" && typeof other === "number" && dim !== other;
  });
}
