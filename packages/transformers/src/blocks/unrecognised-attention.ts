import type { AttentionLayer, Graph, Node } from "@dgate/onnx";

/** A Softmax that looks like attention and was not recognised as such. */
export interface UnrecognisedAttention {
  readonly name: string;
  /** The operators around it. */
  readonly reason: string;
}

/**
 * Softmax nodes of rank 3 and more that belong to no attention layer that was found, with the operators before and after each, so that a reader
 * can tell what the pattern is.
 */
export function unrecognisedAttention(
  graph: Graph,
  found: readonly AttentionLayer[],
): UnrecognisedAttention[] {
  const known = (name: string): boolean =>
    found.some((layer) => name === layer.name || name.startsWith(`${layer.name}/`));
  return graph.nodes("Softmax").flatMap((node) => {
    const name = node.name || node.outputs[0]?.name || "Softmax";
    if (known(name)) return [];
    const [before, after] = [behind(graph, node), ahead(graph, node)];
    // A classifier's Softmax gives an output of the model, or reads a layer directly.
    if (after.length === 0 || !after.some((op) => op === "MatMul" || op === "Einsum")) return [];
    return [
      {
        name,
        reason:
          `its pattern is not recognised: ${before.toReversed().join(" → ")} → Softmax → ${after.join(" → ")}. ` +
          "Please report the model",
      },
    ];
  });
}

const reach = 6;

/** Operators on the path to the first inputs, the nearest first. */
function behind(graph: Graph, start: Node): string[] {
  const ops: string[] = [];
  for (let node: Node | undefined = start; ops.length < reach; ) {
    const input: Node["inputs"][number] = node?.inputs[0];
    node = input && graph.producer(input);
    if (!node) break;
    ops.push(node.op);
  }
  return ops;
}

/** Operators on the path from the first outputs, the nearest first. */
function ahead(graph: Graph, start: Node): string[] {
  const ops: string[] = [];
  for (let node: Node | undefined = start; ops.length < reach; ) {
    const output: Node["outputs"][number] | undefined = node?.outputs[0];
    node = output && graph.uses(output).find((use) => use.node !== undefined)?.node;
    if (!node) break;
    ops.push(node.op);
  }
  return ops;
}
