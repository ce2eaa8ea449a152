import { int, ints } from "../graph/attribute.ts";
import type { Graph, Node, NodeInit, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { type GrowingInference, inferConstant, inferNode } from "../infer/infer-shapes.ts";
import { tensorOf } from "../io/tensor-data.ts";

/** Adds nodes to a graph, each constant once, and keeps types and shapes known. */
export class NodeEmitter {
  readonly graph: Graph;
  readonly inference: GrowingInference;
  readonly #names: Set<string>;
  #added = 0;
  readonly #constants = new Map<string, Value>();

  constructor(graph: Graph, inference: GrowingInference) {
    this.graph = graph;
    this.inference = inference;
    this.#names = new Set(graph.nodes().map(({ name }) => name));
  }

  /** How many nodes it added; those of a layer that is not fused in the end have no use. */
  get added(): number {
    return this.#added;
  }

  /** Adds a node; its name and those of its outputs start with `stem`. */
  node(stem: string, init: Omit<NodeInit, "name">): Node {
    const name = this.#freshName(`${stem}/${init.op}`);
    const outputs = Array.from({ length: Number(init.outputs ?? 1) }, (_, i) =>
      this.graph.addValue(this.graph.freshName(`${name}_output_${i}`)),
    );
    this.#added += 1;
    const node = this.graph.addNode({ ...init, outputs, name });
    inferNode(this.graph, node, this.inference);
    return node;
  }

  /** The only output of a node of the standard domain. */
  value(
    stem: string,
    op: string,
    inputs: NodeInit["inputs"],
    attributes: NodeInit["attributes"] = {},
  ): Value {
    return this.node(stem, { op, inputs, attributes }).outputs[0]!;
  }

  int64(values: readonly number[]): Value {
    return this.#constant("int64", [values.length], values);
  }

  float(value: number): Value {
    return this.#constant("float32", [], [value]);
  }

  #constant(dtype: "int64" | "float32", shape: readonly number[], values: readonly number[]): Value {
    const key = `${dtype}[${shape.join()}]${values.join()}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const made = this.initializer(`fuse/${dtype}`, tensorOf(dtype, shape, values));
    this.#constants.set(key, made);
    return made;
  }

  initializer(stem: string, data: Tensor): Value {
    const value = this.graph.addInitializer(this.graph.freshName(stem), data);
    inferConstant(value, this.inference);
    return value;
  }

  transpose(stem: string, x: Value, perm: readonly number[]): Value {
    if (perm.every((axis, i) => axis === i)) return x;
    return this.value(stem, "Transpose", [x], { perm: ints(perm) });
  }

  reshape(stem: string, x: Value, sizes: readonly number[]): Value {
    return this.value(stem, "Reshape", [x, this.int64(sizes)]);
  }

  /** The size of an axis as an int64 vector of one element. */
  size(stem: string, x: Value, axis: number): Value {
    const known = this.inference.types.get(x)?.shape?.[axis];
    if (typeof known === "number") return this.int64([known]);
    return this.value(stem, "Gather", [this.value(stem, "Shape", [x]), this.int64([axis])], { axis: int(0) });
  }

  #freshName(stem: string): string {
    let name = stem;
    for (let i = 2; this.#names.has(name); i++) name = `${stem}_${i}`;
    this.#names.add(name);
    return name;
  }
}
