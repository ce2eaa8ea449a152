import type { Graph, Node, NodeInit, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";

/** The float value that codes stand for. */
export interface Real {
  readonly value: Value;
  /** What the codes are multiplied with, where other nodes multiply with it too. */
  readonly scale?: Value | undefined;
}

/** What makes a float constant of codes; two that agree in all of it are one. */
export interface Meaning {
  readonly scale: Value | undefined;
  readonly zeroPoint: Value | undefined;
  /** Where the numbers of scales and zero points lie; −1 if there is one of each. */
  readonly axis: number;
  readonly make: () => Tensor;
}

interface Made extends Meaning {
  readonly value: Value;
}

/** The float values that a quantized graph's codes stand for, while it becomes a float graph. */
export class RealValues {
  readonly graph: Graph;
  /** What names of nodes beside the present one begin with: that of its branch, where branches lie in the graph. */
  prefix = "";
  readonly #reals = new Map<Value, Real>();
  readonly #constants = new Map<Value, Made[]>();
  readonly #fresh = new Set<Value>();

  constructor(graph: Graph) {
    this.graph = graph;
  }

  get(codes: Value | undefined): Real | undefined {
    return codes && this.#reals.get(codes);
  }

  set(codes: Value | undefined, real: Real): void {
    if (codes) this.#reals.set(codes, real);
  }

  /** The float constant that a constant of codes stands for. It gets the name of the codes in the end. */
  constant(codes: Value, meaning: Meaning): Value {
    const made = this.#constants.get(codes) ?? [];
    const known = made.find(
      ({ scale, zeroPoint, axis }) =>
        scale === meaning.scale && zeroPoint === meaning.zeroPoint && axis === meaning.axis,
    );
    if (known) return known.value;
    const value = this.graph.addInitializer(this.graph.freshName(`${codes.name}_float`), meaning.make());
    this.#constants.set(codes, [...made, { ...meaning, value }]);
    return value;
  }

  /** A float node that does the work of `node`, under its name. */
  add(
    node: Node,
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: NonNullable<NodeInit["attributes"]> = {},
  ): Value {
    return this.#add({ op, inputs, attributes, name: node.name });
  }

  /** A node before or behind that of `add`. */
  addBeside(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: NonNullable<NodeInit["attributes"]> = {},
  ): Value {
    // A number is no name: see `restoreBranches`.
    return this.#add({ op, inputs, attributes, name: this.prefix === "" ? "" : `${this.prefix}#0` });
  }

  #add(init: NodeInit): Value {
    const value = this.graph.addNode(init).outputs[0]!;
    this.#fresh.add(value);
    return value;
  }

  /** A node in the place of `node` that reads other inputs: its outputs, in the order of the node's. */
  addLike(node: Node, op: string, inputs: readonly (Value | undefined)[]): readonly (Value | undefined)[] {
    const outputs = node.outputs.map(
      (value) => value && this.graph.addValue(this.graph.freshName(`${value.name}_float`)),
    );
    this.graph.addNode({ ...node, op, inputs, outputs });
    for (const value of outputs) if (value) this.#fresh.add(value);
    return outputs;
  }

  /** Lets `real` stand wherever a float value was read. A graph output keeps its name. */
  replace(old: Value, real: Value): void {
    const { graph } = this;
    const isOutput = graph.uses(old).some((use) => use.node === undefined);
    const { name, type, declaration } = old;
    const bearer =
      isOutput && !this.#fresh.has(real)
        ? graph.addNode({ op: "Identity", inputs: [real] }).outputs[0]!
        : real;
    graph.replaceUses(old, bearer);
    if (this.#fresh.has(real)) real.type ??= type;
    if (!isOutput) return;
    this.#fresh.delete(real);
    graph.rename(old, graph.freshName(`${name}_before`));
    graph.rename(bearer, name);
    bearer.type = type;
    if (declaration) bearer.declaration = declaration;
  }

  /** Gives the float constants the names of their codes, where nothing reads these any more. */
  takeNames(): void {
    for (const [codes, [first]] of this.#constants) {
      const { name } = codes;
      if (first && !this.graph.value(name)) this.graph.rename(first.value, name);
    }
  }
}
