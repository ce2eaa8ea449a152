import { DgateError } from "@dgate/core";
import type { Attribute } from "./attribute.ts";
import { printGraph } from "./print.ts";
import type { DataType, Tensor } from "./tensor.ts";

/** A dimension: a size, a symbolic name such as `batch`, or `undefined` where nothing is known. */
export type Dim = number | string | undefined;

/** Element type and shape of a value; `shape` is absent where even the rank is unknown. */
export interface ValueType {
  readonly dtype: DataType;
  readonly shape?: readonly Dim[];
}

/**
 * A value of a graph: a graph input, a node's output or an initializer (then `data` is set). Compared by identity; the
 * name is unique within its graph.
 */
export interface Value {
  readonly name: string;
  type: ValueType | undefined;
  /** The constant content of an initializer. */
  data: Tensor | undefined;
}

/** An operator call. Compared by identity. Edges are edited through `Graph` only. */
export interface Node {
  readonly name: string;
  readonly op: string;
  /** `""` is the standard domain `ai.onnx`. */
  readonly domain: string;
  /** An optional input that is left out is `undefined`. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  readonly attributes: ReadonlyMap<string, Attribute>;
}

/** Where a value is used: input `index` of `node`, or graph output `index` (then `node` is absent). */
export interface Use {
  readonly node: Node | undefined;
  readonly index: number;
}

/** What an ONNX file says beside its graph; carried from reader to writer. */
export interface ModelInfo {
  readonly irVersion: number;
  readonly producerName: string;
  readonly producerVersion: string;
  /** `metadata_props`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Protobuf fields of the model that are not interpreted (functions, training info, unknown ones), as file bytes. */
  readonly opaque: readonly Uint8Array[];
}

/** What a caller gives to make a node. */
export interface NodeInit {
  readonly op: string;
  readonly inputs: readonly (Value | undefined)[];
  /** Values to write, or the number of outputs to create (1 if left out). */
  readonly outputs?: readonly (Value | undefined)[] | number;
  readonly attributes?: Readonly<Record<string, Attribute>> | ReadonlyMap<string, Attribute>;
  readonly name?: string;
  readonly domain?: string;
}

interface MutableNode extends Node {
  inputs: (Value | undefined)[];
  outputs: (Value | undefined)[];
  attributes: Map<string, Attribute>;
}

/**
 * A dataflow graph with use–def edges. `Graph` alone holds the edges: each value knows its producer and its uses, and a
 * graph output counts as a use. Nodes are kept in the order in which they were added; `sortNodes` makes it topological.
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
  readonly #inputs: Value[] = [];
  readonly #outputs: Value[] = [];
  readonly #values = new Map<string, Value>();
  readonly #nodes = new Set<MutableNode>();
  readonly #producers = new Map<Value, MutableNode>();
  readonly #uses = new Map<Value, Use[]>();
  #fresh = 0;

  constructor(name = "graph", opsets: Iterable<readonly [string, number]> = [["", 17]]) {
    this.name = name;
    this.opsets = new Map(opsets);
  }

  get inputs(): readonly Value[] {
    return this.#inputs;
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
    this.#inputs.push(value);
    return value;
  }

  addOutput(value: Value): void {
    this.#own(value);
    this.#addUse(value, { node: undefined, index: this.#outputs.length });
    this.#outputs.push(value);
  }

  addInitializer(name: string, data: Tensor): Value {
    const value = this.addValue(name, { dtype: data.dtype, shape: data.shape });
    value.data = data;
    return value;
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
    };
    for (const value of outputs) {
      if (!value) continue;
      this.#own(value);
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
      this.#uses.delete(value);
      this.#values.delete(value.name);
    }
    held.inputs.forEach((value, index) => value && this.#dropUse(value, node, index));
    this.#nodes.delete(held);
  }

  /** Removes an unused initializer. */
  removeInitializer(value: Value): void {
    this.#own(value);
    if (this.uses(value).length > 0 || this.#producers.has(value)) {
      throw new DgateError("GROUP", `initializer "${value.name}" cannot be removed: it is still used.`);
    }
    const input = this.#inputs.indexOf(value);
    if (input >= 0) this.#inputs.splice(input, 1);
    this.#values.delete(value.name);
  }

  setInput(node: Node, index: number, value: Value | undefined): void {
    const held = this.#ownNode(node);
    const before = held.inputs[index];
    if (before) this.#dropUse(before, node, index);
    while (held.inputs.length < index) held.inputs.push(undefined);
    held.inputs[index] = value;
    if (value) {
      this.#own(value);
      this.#addUse(value, { node, index });
    }
  }

  setAttribute(node: Node, name: string, attribute: Attribute | undefined): void {
    const { attributes } = this.#ownNode(node);
    if (attribute) attributes.set(name, attribute);
    else attributes.delete(name);
  }

  /** Lets every use of `from`, graph outputs included, use `to` instead. */
  replaceUses(from: Value, to: Value): void {
    for (const { node, index } of this.uses(from).slice()) {
      if (node) this.setInput(node, index, to);
      else {
        this.#dropUse(from, undefined, index);
        this.#outputs[index] = to;
        this.#addUse(to, { node: undefined, index });
      }
    }
  }

  /**
   * Orders the nodes so that each follows its producers; ties keep the order of before.
   * @throws DgateError `FORMAT` naming a node on a cycle.
   */
  sortNodes(): void {
    const waiting = new Map<MutableNode, number>();
    for (const node of this.#nodes) {
      const producers = new Set(node.inputs.flatMap((value) => (value && this.#producers.get(value)) ?? []));
      waiting.set(node, producers.size);
    }
    const sorted = [...this.#nodes].filter((node) => waiting.get(node) === 0);
    for (let i = 0; i < sorted.length; i++) {
      const consumers = new Set(
        sorted[i]!.outputs.flatMap((value) => (value ? this.uses(value) : [])).flatMap(
          (use) => use.node ?? [],
        ),
      );
      for (const consumer of consumers) {
        const held = this.#ownNode(consumer);
        const left = waiting.get(held)! - 1;
        waiting.set(held, left);
        if (left === 0) sorted.push(held);
      }
    }
    if (sorted.length < this.#nodes.size) {
      const stuck = [...this.#nodes].find((node) => waiting.get(node)! > 0)!;
      throw new DgateError(
        "FORMAT",
        `graph "${this.name}" has a cycle through ${describeNode(stuck)}; an ONNX graph must be acyclic.`,
      );
    }
    this.#nodes.clear();
    for (const node of sorted) this.#nodes.add(node);
  }

  /** A deep copy that shares only the immutable tensors. */
  clone(): Graph {
    const copy = new Graph(this.name, this.opsets);
    copy.info = this.info;
    copy.#fresh = this.#fresh;
    const twin = new Map<Value, Value>();
    for (const value of this.#values.values()) {
      const fresh = copy.addValue(value.name, value.type);
      fresh.data = value.data;
      twin.set(value, fresh);
    }
    const map = (value: Value | undefined): Value | undefined => value && twin.get(value);
    for (const input of this.#inputs) copy.#inputs.push(twin.get(input)!);
    for (const node of this.#nodes) {
      copy.addNode({ ...node, inputs: node.inputs.map(map), outputs: node.outputs.map(map) });
    }
    for (const output of this.#outputs) copy.addOutput(twin.get(output)!);
    return copy;
  }

  /** One node a line, with types and names. */
  toString(): string {
    return printGraph(this);
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
    const at = uses.findIndex((use) => use.node === node && use.index === index);
    if (at >= 0) uses.splice(at, 1);
  }
}

/** `MatMul "/layer.0/query/MatMul"`, for messages. */
export function describeNode(node: Node): string {
  return `${node.domain ? `${node.domain}.` : ""}${node.op} "${node.name || (node.outputs[0]?.name ?? "")}"`;
}
