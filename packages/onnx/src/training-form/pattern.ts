import type { Graph, Node, Value } from "../graph/graph.ts";
import { fixedData } from "../graph/fixed-data.ts";
import type { Attribute } from "../graph/attribute.ts";
import type { GrowingInference } from "../infer/infer-shapes.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { takeOver } from "./take-over.ts";

/** Reads the un-fused forms of an operator in a graph, and puts the operator in their place. */
export class PatternReader {
  readonly graph: Graph;
  readonly inference: GrowingInference;

  constructor(graph: Graph, inference: GrowingInference) {
    this.graph = graph;
    this.inference = inference;
  }

  /** What a value is before Casts to the type that it had already, and Identities. */
  source(value: Value): Value {
    for (let current = value; ; ) {
      const node = this.graph.producer(current);
      if (!node || !this.#isIdle(node)) return current;
      current = node.inputs[0]!;
    }
  }

  /** The node of the standard domain that computes a value, if it is one of these operators. */
  producer(value: Value | undefined, ...ops: readonly string[]): Node | undefined {
    const node = value && this.graph.producer(this.source(value));
    return node?.domain === "" && ops.includes(node.op) ? node : undefined;
  }

  /** The inputs of the node that computes a value, if it is one of these operators. */
  inputs(value: Value | undefined, ...ops: readonly string[]): readonly Value[] | undefined {
    const node = this.producer(value, ...ops);
    return node?.inputs.flatMap((input) => (input ? [this.source(input)] : []));
  }

  /** The number that a constant of one element holds. */
  scalar(value: Value | undefined): number | undefined {
    const source = value && this.source(value);
    const attribute = source && this.graph.producer(source)?.attributes.get("value");
    const data = attribute?.kind === "tensor" ? attribute.value : source && fixedData(this.graph, source);
    if (source && !data) return this.#inferredScalar(source);
    // More axes could give the result more axes than the data have.
    if (!data || data.dtype === "string" || data.shape.length > 1 || (data.shape[0] ?? 1) !== 1)
      return undefined;
    return readNumbers(data)[0];
  }

  /** Of a constant around a subgraph only what inference knows is there. */
  #inferredScalar(value: Value): number | undefined {
    const { types, contents } = this.inference;
    const content = this.graph.producer(value) ? undefined : contents.get(value);
    const rank = types.get(value)?.shape?.length ?? 2;
    return content?.length === 1 && rank < 2 && typeof content[0] === "number" ? content[0] : undefined;
  }

  /** Both orders of the inputs of a commutative operator. */
  orders(value: Value | undefined, op: string): readonly (readonly [Value, Value])[] {
    const [a, b] = this.inputs(value, op) ?? [];
    if (!a || !b) return [];
    return [
      [a, b],
      [b, a],
    ];
  }

  /** The only node that uses a value, Casts that do nothing passed over. */
  user(value: Value): Node | undefined {
    const [use, second] = this.graph.uses(value);
    if (!use?.node || use.index < 0 || second) return undefined;
    return this.#isIdle(use.node) ? this.user(use.node.outputs[0]!) : use.node;
  }

  /**
   * Puts one node in the place of all that computes `root` from `leaves`. Not if anything between them has another use.
   *
   * @returns whether it was done
   */
  raise(
    root: Value,
    leaves: readonly Value[],
    make: () => {
      readonly op: string;
      readonly domain?: string;
      readonly inputs: readonly Value[];
      readonly attributes: Readonly<Record<string, Attribute>>;
    },
  ): boolean {
    const cone = this.cone(root, leaves);
    if (!cone) return false;
    const last = this.graph.producer(root)!;
    const { op, domain = "", inputs, attributes } = make();
    const output = this.graph.addValue(this.graph.freshName(`${root.name}/${op}`));
    this.graph.addNode({ op, domain, inputs, attributes, outputs: [output], name: last.name });
    cone.delete(last);
    takeOver(this.graph, last, [output], this.inference);
    this.#removeUnused(cone);
    return true;
  }

  /** The nodes that compute `root` from `leaves` and constants, if nobody else uses what they compute. */
  cone(root: Value, leaves: readonly Value[]): Set<Node> | undefined {
    const cone = new Set<Node>();
    const stop = new Set(leaves);
    const visit = (value: Value): void => {
      const node = stop.has(value) ? undefined : this.graph.producer(value);
      if (!node || cone.has(node)) return;
      cone.add(node);
      for (const input of node.inputs) if (input) visit(input);
    };
    visit(root);
    const isInside = ({ op, outputs }: Node): boolean =>
      // A Constant may be shared.
      op === "Constant" ||
      outputs.every(
        (value) =>
          !value ||
          value === root ||
          this.graph.uses(value).every(({ node, index }) => node && index >= 0 && cone.has(node)),
      );
    return [...cone].every(isInside) ? cone : undefined;
  }

  #removeUnused(nodes: Set<Node>): void {
    const isUnused = ({ outputs }: Node): boolean =>
      outputs.every((value) => !value || this.graph.uses(value).length === 0);
    for (let next = [...nodes].find(isUnused); next; next = [...nodes].find(isUnused)) {
      this.graph.remove(next);
      nodes.delete(next);
    }
  }

  #isIdle({ op, domain, inputs, outputs }: Node): boolean {
    if (domain !== "") return false;
    if (op === "Identity") return true;
    const [from, to] = [inputs[0], outputs[0]].map(
      (value) => value && this.inference.types.get(value)?.dtype,
    );
    return op === "Cast" && from !== undefined && from === to;
  }
}
