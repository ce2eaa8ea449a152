import { Graph, tensor, tensorOf, type Value } from "@dgate/onnx";

const isPast = ({ name }: Value): boolean => name.startsWith("past_key_values.");

/**
 * One file for the first and the later steps of a decoder, as optimum's `decoder_model_merged.onnx`: `If(use_cache_branch)` with the decoder as
 * then-branch, and as else-branch the same without pasts. Both share inputs and weights.
 */
export function mergedDecoder(decoder: Graph): Graph {
  const merged = new Graph(decoder.name, decoder.opsets);
  merged.info = decoder.info;
  for (const { name, type } of decoder.requiredInputs) merged.addInput(name, type!);
  const flag = merged.addInput("use_cache_branch", { dtype: "bool", shape: [1] });
  for (const { name, data } of decoder.initializers) merged.addInitializer(name, data!);
  const attributes = {
    then_branch: branch(decoder, "with_past"),
    else_branch: branch(withoutPasts(decoder), "no_past"),
  };
  const outputs = decoder.outputs.map(({ name, type }) => merged.addValue(name, type));
  merged.addNode({ op: "If", name: "optimum::if", inputs: [flag], outputs, attributes });
  for (const value of outputs) merged.addOutput(value);
  return merged;
}

const branch = (graph: Graph, name: string) => ({ kind: "graph" as const, value: asBranch(graph, name) });

/** The first step: keys and values are the new ones alone, and the past has length 0. */
function withoutPasts(decoder: Graph): Graph {
  const graph = decoder.clone();
  for (const past of graph.requiredInputs.filter(isPast)) {
    for (const { node } of graph.uses(past).slice()) {
      const output = node!.outputs[0]!;
      const { name } = output;
      const joined = node!.op === "Concat";
      const own = joined ? node!.inputs[1]! : lengthZero(graph, past);
      graph.replaceUses(output, own);
      graph.remove(node!);
      if (joined) graph.rename(own, name);
    }
    graph.removeInput(past);
  }
  return graph;
}

function lengthZero(graph: Graph, { type }: Value): Value {
  const sizes = type!.shape!.map((dim, axis) => (typeof dim === "number" ? dim : axis === 0 ? 1 : 0));
  const attributes = { value: tensor(tensorOf("int64", [4], sizes)) };
  return graph.addNode({ op: "Constant", inputs: [], attributes }).outputs[0]!;
}

/** A graph as a branch of an If in a graph that holds its inputs and weights. */
function asBranch(graph: Graph, name: string): Graph {
  const body = new Graph(name, graph.opsets);
  const twins = new Map<Value, Value>();
  for (const value of graph.values) {
    const given = graph.isInput(value) || value.data;
    twins.set(value, given ? body.addOuter(value.name, value.type) : body.addValue(value.name, value.type));
  }
  const map = (value: Value | undefined): Value | undefined => value && twins.get(value);
  for (const node of graph.sorted()) {
    body.addNode({ ...node, inputs: node.inputs.map(map), outputs: node.outputs.map(map) });
  }
  for (const value of graph.outputs) body.addOutput(twins.get(value)!);
  return body;
}
