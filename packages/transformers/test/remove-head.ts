import { type Graph, type Node, readNumbers, type Tensor, tensorOf } from "@dgate/onnx";
import { withoutIndices } from "./small-examples.ts";

/** An attention layer of a real model as it stands in its file, for edits by hand: names of nodes behind the layer's scope. */
export interface HandLayer {
  readonly scope: string;
  readonly heads: number;
  /** Columns of one head (of grouped queries: of a key–value head with its queries) in the projections. */
  readonly projections: readonly { readonly weight: string; readonly bias?: string; readonly size: number }[];
  readonly output: { readonly weight: string; readonly size: number };
  /** Sizes in the layer's Concats, by node and input, without one head. */
  readonly sizes: Readonly<Record<string, readonly [input: number, size: number]>>;
  /** Caches, with the axis of the heads. */
  readonly caches?: readonly string[];
}

const nodeOf = (graph: Graph, name: string): Node => {
  const found = graph.nodes().find((node) => node.name === name);
  if (!found) throw new Error(`no node ${name}`);
  return found;
};

const constantOf = (graph: Graph, node: Node) =>
  node.inputs.find((input) => input && graph.value(input.name)?.data)!;

/** A model some of whose weights are inputs, and what is fed to them for each head. */
export interface HeadVariants {
  readonly graph: Graph;
  readonly weights: (head: number) => Readonly<Record<string, Tensor>>;
}

/** A session for all heads of a layer takes the weights that differ as inputs. */
function openWeights(
  graph: Graph,
  edits: readonly { readonly node: string; readonly edit: (weight: Tensor, head: number) => Tensor }[],
): HeadVariants {
  const opened = edits.map(({ node, edit }) => {
    const value = constantOf(graph, nodeOf(graph, node));
    const data = value.data!;
    const { dtype, shape } = edit(data, 0);
    value.type = { dtype, shape };
    graph.declareInput(value);
    value.data = undefined;
    return { name: value.name, data, edit };
  });
  return {
    graph,
    weights: (head) => Object.fromEntries(opened.map(({ name, data, edit }) => [name, edit(data, head)])),
  };
}

/** The model with the rows of the output projection that read a head at zero. */
export function withZeroRows(graph: Graph, { scope, output: { weight, size } }: HandLayer): HeadVariants {
  const zeroed = (data: Tensor, head: number): Tensor => {
    const count = size * data.shape[1]!;
    const numbers = Float32Array.from(readNumbers(data), Number).fill(0, head * count, (head + 1) * count);
    return tensorOf(data.dtype, data.shape, numbers);
  };
  return openWeights(graph.clone(), [{ node: scope + weight, edit: zeroed }]);
}

/** The model without a head: weights sliced, sizes of the layer's reshapes written anew. */
export function withoutHead(graph: Graph, layer: HandLayer): HeadVariants {
  const copy = graph.clone();
  for (const [name, [input, size]] of Object.entries(layer.sizes)) {
    const fresh = copy.addInitializer(copy.freshName("size"), tensorOf("int64", [1], [size]));
    copy.setInput(nodeOf(copy, layer.scope + name), input, fresh);
  }
  for (const name of layer.caches ?? []) {
    const { type } = copy.value(name)!;
    const shape = type!.shape!.map((dim, axis) => (axis === 1 ? layer.heads - 1 : dim));
    copy.value(name)!.type = { ...type!, shape };
  }
  const cut = (node: string, axis: number, size: number) => ({
    node: layer.scope + node,
    edit: (data: Tensor, head: number) => withoutIndices(data, axis, head * size, size),
  });
  return openWeights(copy, [
    ...layer.projections.flatMap(({ weight, bias, size }) => [
      cut(weight, 1, size),
      ...(bias === undefined ? [] : [cut(bias, 0, size)]),
    ]),
    cut(layer.output.weight, 0, layer.output.size),
  ]);
}
