import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Inference } from "../infer/view.ts";
import { ruleOf } from "../ops/rule-of.ts";

/** Values that hand keys and values of earlier tokens from run to run. */
export interface Caches {
  readonly inputs: ReadonlySet<Value>;
  readonly outputs: ReadonlySet<Value>;
}

/** As decoders name them: `past_key_values.0.key`, `past_0`, `present.0.value`, `present_key_self`. */
const pastName = /^past/;
const presentName = /^present/;

/**
 * The key–value caches of a decoder: an output that an input is joined into (`present = Concat(past, new)`), and what is named
 * as exporters name caches and has their rank, `[B, H, T, d]` or more (a classifier may well call its result `present`). Nobody
 * but the next run reads them, so they shrink with the heads; other outputs keep their shape.
 */
export function findCaches(graph: Graph, { types }: Inference): Caches {
  const named = (values: readonly Value[], name: RegExp): Set<Value> =>
    new Set(values.filter((value) => name.test(value.name) && (types.get(value)?.shape?.length ?? 0) >= 4));
  const inputs = named(graph.requiredInputs, pastName);
  const outputs = named(graph.outputs, presentName);
  const given = new Set(graph.outputs);
  for (const node of graph.nodes("Concat")) {
    const output = node.outputs[0];
    const past = pastOf(graph, node);
    if (!output || !past || !given.has(output)) continue;
    inputs.add(past);
    outputs.add(output);
  }
  for (const node of graph.nodes()) {
    const ports = ruleOf(cachePorts, node);
    ports?.past.forEach((index, i) => {
      const [past, present] = [node.inputs[index], node.outputs[ports.present[i]!]];
      if (!past || !present || !graph.isInput(past) || !given.has(present)) return;
      inputs.add(past);
      outputs.add(present);
    });
  }
  return { inputs, outputs };
}

/** Where operators that attend take a cache in and give it out. */
const cachePorts: Readonly<
  Record<string, { readonly past: readonly number[]; readonly present: readonly number[] }>
> = {
  Attention: { past: [4, 5], present: [1, 2] },
  "com.microsoft.Attention": { past: [4], present: [1] },
  "com.microsoft.QAttention": { past: [8], present: [1] },
  "com.microsoft.MultiHeadAttention": { past: [6, 7], present: [1, 2] },
  "com.microsoft.GroupQueryAttention": { past: [3, 4], present: [1, 2] },
};

/** The model input that a Concat joins something computed to. */
function pastOf(graph: Graph, { inputs }: Node): Value | undefined {
  const [first, second] = inputs;
  if (inputs.length !== 2 || !first || !second) return undefined;
  return graph.isInput(first) && !first.data && graph.producer(second) ? first : undefined;
}
