import type { Graph, Value } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { elementBits } from "../io/element-types.ts";

/**
 * Bytes that a run of a graph holds at most at one time, if every value is freed after its last use: constants, inputs and what nodes
 * compute. Values of unknown size count as nothing; the runtime's own buffers are not counted.
 *
 * @param dims sizes of the symbolic dimensions
 */
export function peakBytes(graph: Graph, dims: Readonly<Record<string, number>>): number {
  const { types } = inferShapes(graph, { dims });
  const sizeOf = (value: Value): number => {
    const type = types.get(value);
    if (!type?.shape?.every((dim) => typeof dim === "number")) return 0;
    return type.shape.reduce((a, b) => a * b, elementBits[type.dtype] / 8);
  };
  const nodes = graph.sorted();
  const lastUse = new Map<Value, number>();
  nodes.forEach(({ inputs }, i) => {
    for (const input of inputs) if (input) lastUse.set(input, i);
  });
  const kept = new Set<Value>([...graph.outputs, ...graph.inputs, ...graph.initializers]);
  let live = [...new Set([...graph.inputs, ...graph.initializers])].reduce(
    (sum, value) => sum + sizeOf(value),
    0,
  );
  let peak = live;
  nodes.forEach(({ inputs, outputs }, i) => {
    for (const output of outputs) if (output) live += sizeOf(output);
    peak = Math.max(peak, live);
    for (const value of new Set([...inputs, ...outputs])) {
      if (value && !kept.has(value) && (lastUse.get(value) ?? i) === i) live -= sizeOf(value);
    }
  });
  return peak;
}

/** `1.5 GB`, `20.3 MB`. */
export function printBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}
