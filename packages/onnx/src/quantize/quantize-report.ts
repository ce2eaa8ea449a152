import type { Graph, Node } from "../graph/graph.ts";
import { graphsWithin } from "../training-form/subgraphs.ts";
import type { FloatLayer, QuantizableOperator, SkippedLayer } from "./float-layers.ts";
import { nameOf } from "./layer-writer.ts";

/** A layer whose weight became codes. */
export interface QuantizedNode {
  /** Name of the node, or of its output where it has none. */
  readonly node: string;
  readonly operator: QuantizableOperator;
  /** The constant that held the weight, and its shape. */
  readonly weight: string;
  readonly shape: readonly number[];
}

/** A layer that keeps its weight. */
export interface UnquantizedNode {
  readonly node: string;
  /** The operator, with its domain if it is not the standard one. */
  readonly operator: string;
  readonly reason: string;
}

/** What a quantizer did. */
export interface QuantizeReport {
  readonly quantized: readonly QuantizedNode[];
  /** Layers of the chosen operators that stay as they were. */
  readonly skipped: readonly UnquantizedNode[];
  /** Bytes of all constants of the model. */
  readonly sizeBytes: { readonly before: number; readonly after: number };
}

export const quantizedNode = ({ node, operator, weight, tensor }: FloatLayer): QuantizedNode => ({
  node: nameOf(node),
  operator,
  weight: weight.name,
  shape: tensor.shape,
});

export const unquantizedNode = ({ node, reason }: SkippedLayer): UnquantizedNode => ({
  node: nameOf(node),
  operator: operatorName(node),
  reason,
});

const operatorName = ({ op, domain }: Node): string => (domain ? `${domain}.${op}` : op);

/** Bytes of the constants of a graph and its subgraphs, as initializers and as attributes. */
export function constantBytes(graph: Graph): number {
  let bytes = 0;
  for (const each of graphsWithin(graph)) {
    for (const { data } of each.initializers) bytes += data!.bytes.byteLength;
    for (const { attributes } of each.nodes()) {
      for (const attribute of attributes.values())
        if (attribute.kind === "tensor") bytes += attribute.value.bytes.byteLength;
    }
  }
  return bytes;
}
