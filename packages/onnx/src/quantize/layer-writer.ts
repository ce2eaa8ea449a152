import type { Attribute } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { viewNumbers } from "../io/view-numbers.ts";
import { FreshNames } from "../training-form/subgraphs.ts";
import type { FloatLayer } from "./float-layers.ts";

/** Content of a new constant, in the typed array of its type. */
type Content = Float32Array | Int8Array | Uint8Array;

/** A node to add. */
interface Call {
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes?: Readonly<Record<string, Attribute>> | ReadonlyMap<string, Attribute>;
  readonly domain?: string;
  /** Names of the values that it writes (default: one, named after the node). */
  readonly outputs?: readonly string[];
}

/** Adds nodes and constants to a graph whose layers are replaced one by one. */
export class LayerWriter {
  readonly graph: Graph;
  readonly #values: FreshNames;
  readonly #nodes: Set<string>;

  constructor(graph: Graph) {
    this.graph = graph;
    this.#values = new FreshNames(graph);
    this.#nodes = new Set(graph.nodes().map(({ name }) => name));
  }

  /** A constant on the memory of `content`. */
  constant(name: string, dtype: DataType, shape: readonly number[], content: Content): Value {
    const bytes = new Uint8Array(content.buffer, content.byteOffset, content.byteLength);
    return this.graph.addInitializer(this.#values.next(name), { dtype, shape, bytes });
  }

  /** The values that a new node writes; runtimes refuse two nodes of one name, so it gets a number where there is one. */
  add(op: string, name: string, { outputs = [`${name}_output`], ...rest }: Call): readonly Value[] {
    let own = name;
    for (let i = 2; this.#nodes.has(own); i++) own = `${name}_${i}`;
    this.#nodes.add(own);
    const written = outputs.map((output) => this.graph.addValue(this.#values.next(output)));
    this.graph.addNode({ op, name: own, outputs: written, ...rest });
    return written;
  }

  /** The value that a new node of one output writes. */
  op(op: string, name: string, call: Call): Value {
    return this.add(op, name, call)[0]!;
  }

  /** As `op`, for the node that does a layer's work: it has the layer's name, after which sites are called. */
  work(op: string, { name }: Node, call: Call): Value {
    this.#nodes.delete(name);
    return this.op(op, name, { outputs: [`${name || op}_quantized_output`], ...call });
  }

  /** Puts a value, under the name of the layer's output, where that was read; the layer's bias is added to it before. */
  finish({ node, bias, operator, tensor }: FloatLayer, product: Value): void {
    const { graph } = this;
    const output = node.outputs[0]!; // every layer has one
    const { name, type, declaration } = output;
    const addend = bias && this.#addend(bias, operator === "Conv" ? tensor.shape.length : undefined);
    const result = addend
      ? this.op("Add", `${nameOf(node)}_add_bias`, { inputs: [product, addend] })
      : product;
    graph.replaceUses(output, result);
    graph.remove(node);
    graph.rename(result, name);
    result.type = type;
    if (declaration) result.declaration = declaration;
  }

  /** A bias as the second operand of an Add: times its factor, along the channels of data of `rank` axes. */
  #addend({ value, factor }: NonNullable<FloatLayer["bias"]>, rank: number | undefined): Value {
    const { data } = value;
    if (!data || (factor === 1 && rank === undefined)) return value;
    const numbers = Float32Array.from(viewNumbers(data), (number) => number * factor);
    const shape =
      rank === undefined ? data.shape : [1, numbers.length, ...Array.from({ length: rank - 2 }, () => 1)];
    return this.constant(`${value.name}_added`, "float32", shape, numbers);
  }
}

/** The name of a node, or of what it writes. */
export const nameOf = ({ name, outputs }: Node): string => name || (outputs[0]?.name ?? "");

/** The numbers of a layer's weight times its factor. Never write to them. */
export function weightNumbers({ tensor, factor }: FloatLayer): ArrayLike<number> {
  const numbers = viewNumbers(tensor);
  return factor === 1 ? numbers : Float32Array.from(numbers, (number) => number * factor);
}
