import { DgateError } from "@dgate/core";
import type { Attribute } from "./attribute.ts";
import { printGraph } from "./print.ts";
import type { Tensor } from "./tensor.ts";
import { topologicalOrder } from "./topological-order.ts";
import {
  describeNode,
  type ModelInfo,
  type Node,
  type NodeInit,
  type Use,
  type Value,
  type ValueType,
} from "./types.ts";

export {
  describeNode,
  type Dim,
  type ModelInfo,
  type Node,
  type NodeInit,
  type Use,
  type Value,
  type ValueType,
} from "./types.ts";

interface MutableNode extends Node {
  inputs: (Value | undefined)[];
  outputs: (Value | undefined)[];
  attributes: Map<string, Attribute>;
}

interface MutableValue extends Value {
  name: string;
}

/**
 * A dataflow graph with use–def edges. `Graph` alone holds the edges: each value knows its producer and its uses, and a
 * graph output counts as a use. Nodes are kept in the order in which they were added; `sortNodes` makes it topological.
 *
 * A subgraph (an attribute of If, Loop, Scan …) is a `Graph` of its own. What it takes from the graph around it are its
 * `outer` values, found by name when the node is added; each counts as a use of the value of that name, with index −1,
 * and follows `rename` and `replaceUses`. Edit a subgraph's outer values before adding its node, or set the attribute anew.
 *
 * @throws DgateError `GROUP` for an edit that names a value or node of another graph, `SHAPE` for a duplicate name.
 */
export class Graph {
  name: string;
  readonly opsets: Map<string, number>;
  info: ModelInfo = {
    irVersion: 8,
    producerName: "dgate",
    producerVersion: "",
    metadata: new Map(),
    opaque: [],
  };
  readonly #inputs = new Set<Value>();
  readonly #outputs: Value[] = [];
  readonly #values = new Map<string, Value>();
  readonly #nodes = new Set<MutableNode>();
  readonly #producers = new Map<Value, MutableNode>();
  readonly #uses = new Map<Value, Use[]>();
  readonly #outer = new Set<Value>();
  readonly #captures = new Map<Node, readonly Value[]>();
  #fresh = 0;
  /** Other fields of GraphProto (doc string, metadata, quantization annotations, unknown ones), as file bytes. */
  extra: Uint8Array | undefined;

  constructor(name = "graph", opsets: Iterable<readonly [string, number]> = [["", 17]]) {
    this.name = name;
    this.opsets = new Map(opsets);
  }

  get inputs(): readonly Value[] {
    return [...this.#inputs];
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  get values(): IterableIterator<Value> {
    return this.#values.values();
  }

  /** Values with constant content. */
  get initializers(): Value[] {
    return [...this.#values.values()].filter((value) => value.data !== undefined);
  }

  /** The inputs that a caller must feed: those without a default content. */
  get requiredInputs(): Value[] {
    return this.inputs.filter((value) => value.data === undefined);
  }

  /** Whether a caller may feed the value: an input, or an initializer that is one too. */
  isInput(value: Value): boolean {
    return this.#inputs.has(value);
  }

  /** What a subgraph takes from the graphs around it. */
  get outer(): Value[] {
    return [...this.#outer];
  }

  /** All nodes, or those of one operator of the standard domain. A snapshot: the graph may be edited while iterating. */
  nodes(op?: string, domain = ""): readonly Node[] {
    const all = [...this.#nodes];
    return op === undefined ? all : all.filter((node) => node.op === op && node.domain === domain);
  }

  value(name: string): Value | undefined {
    return this.#values.get(name);
  }

  producer(value: Value): Node | undefined {
    return this.#producers.get(value);
  }

  uses(value: Value): readonly Use[] {
    return this.#uses.get(value) ?? [];
  }

  addInput(name: string, type: ValueType): Value {
    const value = this.addValue(name, type);
    this.#inputs.add(value);
    return value;
  }

  /** Makes an existing value a graph input too: an initializer that a caller may override, or one of an old file. */
  declareInput(value: Value): void {
    this.#own(value);
    if (this.#inputs.has(value) || this.#producers.has(value)) {
      throw new DgateError("SHAPE", `value "${value.name}" is an input already or has a producer.`);
    }
    this.#inputs.add(value);
  }

  /** Makes an initializer that a caller may override a plain constant. */
  undeclareInput(value: Value): void {
    this.#own(value);
    if (!this.#inputs.has(value) || !value.data) {
      throw new DgateError("GROUP", `value "${value.name}" is no input with a default.`);
    }
    this.#inputs.delete(value);
  }

  /** Removes an unused graph input. */
  removeInput(value: Value): void {
    this.#own(value);
    if (!this.#inputs.has(value) || this.uses(value).length > 0) {
      throw new DgateError("GROUP", `input "${value.name}" cannot be removed: it is no input or still used.`);
    }
    this.#inputs.delete(value);
    if (!value.data) this.#forget(value);
  }

  addOutput(value: Value): void {
    this.#own(value);
    this.#addUse(value, { node: undefined, index: this.#outputs.length });
    this.#outputs.push(value);
  }

  /** Makes the given values the graph's outputs, in the place of those it has. */
  setOutputs(values: readonly Value[]): void {
    for (const value of values) this.#own(value);
    this.#outputs.forEach((value, index) => this.#dropUse(value, undefined, index));
    this.#outputs.length = 0;
    for (const value of values) this.addOutput(value);
  }

  addInitializer(name: string, data: Tensor): Value {
    const value = this.addValue(name, { dtype: data.dtype, shape: data.shape });
    value.data = data;
    return value;
  }

  /** In a subgraph: a reference to the value of this name in the graph around it. */
  addOuter(name: string, type?: ValueType): Value {
    const value = this.addValue(name, type);
    this.#outer.add(value);
    return value;
  }

  /** A sparse initializer; `sparse` is the content of its SparseTensorProto. */
  addSparseInitializer(name: string, type: ValueType, sparse: Uint8Array): Value {
    const value = this.addValue(name, type);
    (value as { sparse?: Uint8Array }).sparse = sparse; // read-only outside of this class
    return value;
  }

  /** Gives an initializer another content, and the value the type of it. */
  setData(value: Value, data: Tensor): void {
    this.#own(value);
    if (this.#producers.has(value)) {
      throw new DgateError("GROUP", `value "${value.name}" has a producer and cannot hold a constant.`);
    }
    value.data = data;
    value.type = { dtype: data.dtype, shape: data.shape };
  }

  /** Gives a value another name, in the subgraphs that use it too. */
  rename(value: Value, name: string): void {
    this.#own(value);
    if (value.name === name) return;
    if (this.#values.has(name)) {
      throw new DgateError(
        "SHAPE",
        `graph "${this.name}" already has a value named "${name}"; choose another name.`,
      );
    }
    const before = value.name;
    for (const { node, index } of this.uses(value)) {
      if (node && index < 0) forEachGraph(node, (graph) => graph.#retarget(before, name));
    }
    this.#values.delete(before);
    (value as MutableValue).name = name; // read-only outside of this class
    this.#values.set(name, value);
  }

  /** A value without producer yet; give it to `addNode` as an output. */
  addValue(name: string, type?: ValueType): Value {
    if (this.#values.has(name)) {
      throw new DgateError(
        "SHAPE",
        `graph "${this.name}" already has a value named "${name}"; choose another name.`,
      );
    }
    const value: Value = { name, type, data: undefined };
    this.#values.set(name, value);
    return value;
  }

  /** A name derived from `stem` that no value of this graph has. */
  freshName(stem: string): string {
    let name = stem;
    while (this.#values.has(name)) name = `${stem}_${++this.#fresh}`;
    return name;
  }

  addNode(init: NodeInit): Node {
    const name = init.name ?? "";
    const outputs =
      typeof init.outputs === "object"
        ? [...init.outputs]
        : Array.from({ length: init.outputs ?? 1 }, (_, i) =>
            this.addValue(this.freshName(`${name || init.op}_output_${i}`)),
          );
    const attributes =
      init.attributes instanceof Map
        ? new Map(init.attributes)
        : new Map(Object.entries(init.attributes ?? {}));
    const node: MutableNode = {
      name,
      op: init.op,
      domain: init.domain ?? "",
      inputs: [...init.inputs],
      outputs,
      attributes,
      ...(init.extra && { extra: init.extra }),
    };
    for (const value of node.inputs) if (value) this.#own(value);
    for (const value of outputs) {
      if (!value) continue;
      this.#own(value);
      if (value.data || this.#outer.has(value) || this.#inputs.has(value)) {
        throw new DgateError(
          "SHAPE",
          `${describeNode(node)} writes "${value.name}", which is an input or a constant of the graph.`,
        );
      }
      const other = this.#producers.get(value);
      if (other)
        throw new DgateError(
          "SHAPE",
          `value "${value.name}" is written by ${describeNode(other)} and by ${describeNode(node)}.`,
        );
      this.#producers.set(value, node);
    }
    this.#nodes.add(node);
    node.inputs.forEach((value, index) => value && this.#addUse(value, { node, index }));
    this.#capture(node);
    return node;
  }

  /** Removes a node whose outputs have no uses; its output values go with it. */
  remove(node: Node): void {
    const held = this.#ownNode(node);
    for (const value of held.outputs) {
      if (!value) continue;
      if (this.uses(value).length > 0) {
        throw new DgateError(
          "GROUP",
          `${describeNode(node)} cannot be removed: "${value.name}" is still used.`,
        );
      }
      this.#producers.delete(value);
      this.#forget(value);
    }
    held.inputs.forEach((value, index) => value && this.#dropUse(value, node, index));
    this.#release(held);
    this.#nodes.delete(held);
  }

  /** Removes an unused initializer. */
  removeInitializer(value: Value): void {
    this.#own(value);
    if (this.uses(value).length > 0 || this.#producers.has(value)) {
      throw new DgateError("GROUP", `initializer "${value.name}" cannot be removed: it is still used.`);
    }
    this.#inputs.delete(value);
    this.#forget(value);
  }

  setInput(node: Node, index: number, value: Value | undefined): void {
    const held = this.#ownNode(node);
    if (value) this.#own(value);
    const before = held.inputs[index];
    if (before) this.#dropUse(before, node, index);
    while (held.inputs.length < index) held.inputs.push(undefined);
    held.inputs[index] = value;
    if (value) this.#addUse(value, { node, index });
  }

  setAttribute(node: Node, name: string, attribute: Attribute | undefined): void {
    const held = this.#ownNode(node);
    if (attribute) held.attributes.set(name, attribute);
    else held.attributes.delete(name);
    this.#release(held);
    this.#capture(held);
  }

  /** Lets every use of `from`, graph outputs and subgraphs included, use `to` instead. */
  replaceUses(from: Value, to: Value): void {
    this.#own(from);
    this.#own(to);
    if (from === to) return;
    for (const { node, index } of this.uses(from).slice()) {
      if (!node) {
        this.#dropUse(from, undefined, index);
        this.#outputs[index] = to;
        this.#addUse(to, { node: undefined, index });
      } else if (index >= 0) {
        this.setInput(node, index, to);
      } else {
        forEachGraph(node, (graph) => graph.#retarget(from.name, to.name));
        const held = this.#ownNode(node);
        this.#release(held);
        this.#capture(held);
      }
    }
  }

  /** The nodes in the order that `sortNodes` makes, without touching the graph. Throws as it does. */
  sorted(): readonly Node[] {
    return topologicalOrder(this.nodes(), (node) => this.#producersOf(node), this.name);
  }

  /**
   * Orders the nodes so that each follows its producers. A graph in such an order keeps it; else a node moves no further
   * than its producers ask for.
   * @throws DgateError `FORMAT` naming a node on a cycle.
   */
  sortNodes(): void {
    const held = this.sorted().map((node) => this.#ownNode(node));
    this.#nodes.clear();
    for (const node of held) this.#nodes.add(node);
  }

  /** A deep copy, subgraphs included, that shares only the immutable tensors and types. */
  clone(): Graph {
    const copy = new Graph(this.name, this.opsets);
    copy.info = this.info;
    copy.extra = this.extra;
    copy.#fresh = this.#fresh;
    const twin = new Map<Value, Value>();
    for (const value of this.#values.values()) {
      const fresh: Value = { ...value };
      copy.#values.set(fresh.name, fresh);
      if (this.#outer.has(value)) copy.#outer.add(fresh);
      twin.set(value, fresh);
    }
    const map = (value: Value | undefined): Value | undefined => value && twin.get(value);
    for (const node of this.#nodes) {
      const attributes = new Map([...node.attributes].map(([name, value]) => [name, cloneAttribute(value)]));
      copy.addNode({ ...node, attributes, inputs: node.inputs.map(map), outputs: node.outputs.map(map) });
    }
    for (const input of this.#inputs) copy.#inputs.add(twin.get(input)!);
    for (const output of this.#outputs) copy.addOutput(twin.get(output)!);
    return copy;
  }

  /** One node a line, with types and names. */
  toString(): string {
    return printGraph(this);
  }

  #producersOf(node: Node): Node[] {
    const read = [...node.inputs, ...(this.#captures.get(node) ?? [])];
    return read.flatMap((value) => (value && this.#producers.get(value)) ?? []);
  }

  /** Counts the uses that the subgraphs of a node make of this graph's values. */
  #capture(node: MutableNode): void {
    const captured = new Set<Value>();
    forEachGraph(node, (graph) => {
      for (const { name, type } of graph.outer)
        captured.add(this.#values.get(name) ?? this.addOuter(name, type));
    });
    if (captured.size === 0) return;
    this.#captures.set(node, [...captured]);
    for (const value of captured) this.#addUse(value, { node, index: -1 });
  }

  #release(node: MutableNode): void {
    for (const value of this.#captures.get(node) ?? []) this.#dropUse(value, node, -1);
    this.#captures.delete(node);
  }

  /** In a subgraph: lets the outer value `from` refer to `to` instead. */
  #retarget(from: string, to: string): void {
    const value = this.#values.get(from);
    if (!value || !this.#outer.has(value)) return;
    const other = this.#values.get(to);
    if (!other) return this.rename(value, to);
    if (!this.#outer.has(other)) {
      throw new DgateError(
        "GROUP",
        `subgraph "${this.name}" has a value "${to}" of its own, which would hide the outer one; rename it first.`,
      );
    }
    this.replaceUses(value, other);
    this.#outer.delete(value);
    this.#forget(value);
  }

  #forget(value: Value): void {
    this.#uses.delete(value);
    this.#values.delete(value.name);
  }

  #own(value: Value): void {
    if (this.#values.get(value.name) !== value) {
      throw new DgateError("GROUP", `value "${value.name}" does not belong to graph "${this.name}".`);
    }
  }

  #ownNode(node: Node): MutableNode {
    // A Node handed out by this graph is the MutableNode itself; membership proves it.
    const held = node as MutableNode;
    if (!this.#nodes.has(held))
      throw new DgateError("GROUP", `${describeNode(node)} does not belong to graph "${this.name}".`);
    return held;
  }

  #addUse(value: Value, use: Use): void {
    const uses = this.#uses.get(value);
    if (uses) uses.push(use);
    else this.#uses.set(value, [use]);
  }

  #dropUse(value: Value, node: Node | undefined, index: number): void {
    const uses = this.#uses.get(value) ?? [];
    // From the end: passes add and remove uses there, and a hostile graph uses one value 100,000 times.
    const at = uses.findLastIndex((use) => use.node === node && use.index === index);
    if (at >= 0) uses.splice(at, 1);
  }
}

function forEachGraph(node: Node, visit: (graph: Graph) => void): void {
  for (const attribute of node.attributes.values()) if (attribute.kind === "graph") visit(attribute.value);
}

function cloneAttribute(attribute: Attribute): Attribute {
  return attribute.kind === "graph" ? { ...attribute, value: attribute.value.clone() } : attribute;
}
