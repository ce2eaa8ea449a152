import { type Graph, int, ints, type Node, tensorOf, type Value } from "@dgate/onnx";

/**
 * A copy of a graph in which operators that have no CPU kernel stand as the plain operators that define them, so that it
 * runs: BiasAdd, BiasSplitGelu, MultiHeadAttention with interleaved inputs, GroupQueryAttention with norms. Each is written
 * from its definition, not from the code that prunes it.
 */
export function unfused(graph: Graph): Graph {
  const copy = graph.clone();
  for (const node of copy.nodes()) {
    if (node.domain !== "com.microsoft") continue;
    const result = definitions[node.op]?.(new Writer(copy), node);
    if (!result) continue;
    copy.replaceUses(node.outputs[0]!, result);
    copy.remove(node);
  }
  copy.sortNodes();
  return copy;
}

class Writer {
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  op(op: string, inputs: readonly (Value | undefined)[], attributes = {}): Value {
    return this.#graph.addNode({ op, inputs, attributes }).outputs[0]!;
  }

  split(x: Value, parts: number, axis: number): readonly Value[] {
    const attributes = { axis: int(axis), num_outputs: int(parts) };
    return this.#graph
      .addNode({ op: "Split", inputs: [x], outputs: parts, attributes })
      .outputs.map((value) => value!);
  }

  integers(numbers: readonly number[]): Value {
    return this.#graph.addInitializer(
      this.#graph.freshName("sizes"),
      tensorOf("int64", [numbers.length], numbers),
    );
  }

  number(value: number): Value {
    return this.#graph.addInitializer(this.#graph.freshName("number"), tensorOf("float32", [], [value]));
  }

  reshape(x: Value, shape: readonly number[]): Value {
    return this.op("Reshape", [x, this.integers(shape)]);
  }

  transpose(x: Value, perm: readonly number[]): Value {
    return this.op("Transpose", [x], { perm: ints(perm) });
  }

  /** softmax(q·kᵀ / √d)·v of `[B, heads, T, d]`, joined to `[B, T, heads · d]`. */
  attend(q: Value, k: Value, v: Value, dim: number): Value {
    const products = this.op("MatMul", [q, this.transpose(k, [0, 1, 3, 2])]);
    const weights = this.op("Softmax", [this.op("Mul", [products, this.number(1 / Math.sqrt(dim))])], {
      axis: int(-1),
    });
    return this.reshape(this.transpose(this.op("MatMul", [weights, v]), [0, 2, 1, 3]), [0, 0, -1]);
  }
}

type Definition = (writer: Writer, node: Node) => Value;

const attribute = ({ attributes }: Node, name: string): number => {
  const found = attributes.get(name);
  if (found?.kind !== "int") throw new Error(`no attribute ${name}`);
  return found.value;
};

const definitions: Readonly<Record<string, Definition>> = {
  BiasAdd: (w, { inputs: [x, bias, skip] }) => w.op("Add", [w.op("Add", [x, bias]), skip]),
  BiasSplitGelu: (w, { inputs: [x, bias] }) => {
    const [value, gate] = w.split(w.op("Add", [x, bias]), 2, -1);
    return w.op("Mul", [value, w.op("Gelu", [gate])]);
  },
  MultiHeadAttention: (w, node) => {
    const [query, key] = node.inputs;
    const heads = attribute(node, "num_heads");
    // [B, T, heads, parts, d] → parts × [B, heads, T, d]
    const apart = (x: Value, parts: number): Value[] =>
      w.split(x, parts, 3).map((part) => w.transpose(w.op("Squeeze", [part, w.integers([3])]), [0, 2, 1, 3]));
    if (!key) {
      const [q, k, v] = apart(query!, 3);
      return w.attend(q!, k!, v!, 4);
    }
    const [k, v] = apart(key, 2);
    return w.attend(w.transpose(w.reshape(query!, [0, 0, heads, -1]), [0, 2, 1, 3]), k!, v!, 4);
  },
  GroupQueryAttention: (w, node) => {
    const [query, key, value] = node.inputs;
    const [heads, kvHeads] = [attribute(node, "num_heads"), attribute(node, "kv_num_heads")];
    const apart = (x: Value, count: number): Value => w.reshape(x, [0, 0, count, -1]);
    // x / √(mean(x²) + ε) · γ over the dims of a head.
    const normal = (x: Value, gamma: Value): Value => {
      const mean = w.op("ReduceMean", [w.op("Mul", [x, x]), w.integers([-1])]);
      const root = w.op("Sqrt", [w.op("Add", [mean, w.number(1e-6)])]);
      return w.op("Mul", [w.op("Div", [x, root]), gamma]);
    };
    // Key–value head k serves queries k·r … k·r + r − 1: [B, T, kv, 1, d] stretched to [B, T, kv, r, d].
    const repeated = (x: Value): Value => {
      const stretched = w.op("Tile", [
        w.op("Unsqueeze", [x, w.integers([3])]),
        w.integers([1, 1, 1, heads / kvHeads, 1]),
      ]);
      return w.transpose(w.reshape(stretched, [0, 0, heads, -1]), [0, 2, 1, 3]);
    };
    const q = w.transpose(normal(apart(query!, heads), node.inputs[14]!), [0, 2, 1, 3]);
    const k = repeated(normal(apart(key!, kvHeads), node.inputs[15]!));
    return w.attend(q, k, repeated(apart(value!, kvHeads)), 4);
  },
};
