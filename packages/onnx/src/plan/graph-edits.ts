import type { Space } from "../coupling/space.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";

/** A constant that an edit would make: its type, and its axes as sizes or channel spaces. */
export interface NewConstant {
  readonly dtype: DataType;
  readonly axes: readonly (number | Space)[];
  /** Constants with the same key are one. */
  readonly key?: string;
}

/** Edits of a graph that are thought of but not made. */
export class GraphEdits {
  readonly #inputs = new Map<Node, Map<number, readonly NewConstant[]>>();
  readonly #bypassed = new Map<Value, Value>();
  readonly #beside = new Map<Value, NewConstant[]>();

  /** Input `index` of a node is a new constant, or is computed from new constants. */
  replaceInput(node: Node, index: number, ...constants: readonly NewConstant[]): void {
    const own = this.#inputs.get(node) ?? new Map<number, readonly NewConstant[]>();
    this.#inputs.set(node, own.set(index, constants));
  }

  /** Whoever used `value` uses `instead`. */
  bypass(value: Value, instead: Value): void {
    this.#bypassed.set(value, instead);
  }

  /** A node after `value` that takes a new constant. */
  addBeside(value: Value, constant: NewConstant): void {
    this.#beside.set(value, [...(this.#beside.get(value) ?? []), constant]);
  }

  inputsOf(node: Node): ReadonlyMap<number, readonly NewConstant[]> | undefined {
    return this.#inputs.get(node);
  }

  /** What stands for a value. */
  resolve(value: Value): Value {
    let at = value;
    for (let next = this.#bypassed.get(at); next; next = this.#bypassed.get(at)) at = next;
    return at;
  }

  beside(value: Value): readonly NewConstant[] {
    return this.#beside.get(value) ?? [];
  }
}

/** What of an edited graph its outputs need. */
export interface Reachable {
  readonly nodes: ReadonlySet<Node>;
  /** Old constants. */
  readonly constants: ReadonlySet<Value>;
  readonly fresh: readonly NewConstant[];
}

/** Finds what is left of a graph after edits, once dead code is gone. */
export function reachable(graph: Graph): (edits: GraphEdits) => Reachable {
  const captured = new Map<Node, Value[]>();
  for (const value of graph.values) {
    for (const { node, index } of graph.uses(value))
      if (node && index < 0) captured.set(node, [...(captured.get(node) ?? []), value]);
  }
  return (edits) => {
    const found = {
      nodes: new Set<Node>(),
      constants: new Set<Value>(),
      fresh: [] as NewConstant[],
    };
    const seen = new Set<Value>();
    const open = [...graph.outputs];
    const keys = new Set<string>();
    const make = (constant: NewConstant): void => {
      if (constant.key !== undefined && keys.has(constant.key)) return;
      if (constant.key !== undefined) keys.add(constant.key);
      found.fresh.push(constant);
    };
    const visit = (node: Node): void => {
      found.nodes.add(node);
      const replaced = edits.inputsOf(node);
      for (const constants of replaced?.values() ?? []) for (const constant of constants) make(constant);
      node.inputs.forEach((input, index) => {
        if (!input || replaced?.has(index)) return;
        open.push(edits.resolve(input));
      });
      open.push(...(captured.get(node) ?? []));
    };
    for (let next = open.pop(); next; next = open.pop()) {
      const value = edits.resolve(next);
      if (seen.has(value)) continue;
      seen.add(value);
      for (const constant of edits.beside(value)) make(constant);
      if (value.data) found.constants.add(value);
      const node = graph.producer(value);
      if (node && !found.nodes.has(node)) visit(node);
    }
    return found;
  };
}
