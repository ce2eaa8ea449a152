import type { Dim, Graph, Node, Value, ValueType } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { frontAxis, intAttribute, intsAttribute } from "../ops/attributes.ts";

/** Constants with more elements than this are weights: their content is not looked at for shapes. */
export const contentLimit = 4096;

/** Shapes and small contents of a graph's values, as found so far. */
export interface Inference {
  readonly types: ReadonlyMap<Value, ValueType>;
  /** Elements of small integer values in row-major order; a symbolic element is a dimension's name. */
  readonly contents: ReadonlyMap<Value, readonly Dim[]>;
}

/** A node as the rule tables see it: its attributes beside what is known about its inputs. */
export class NodeView {
  readonly node: Node;
  readonly graph: Graph;
  readonly inference: Inference;

  constructor(graph: Graph, node: Node, inference: Inference) {
    this.graph = graph;
    this.node = node;
    this.inference = inference;
  }

  /** The node as operator `op` of the standard domain, whose input i is input `order[i]` here. */
  as(op: string, order: readonly number[]): NodeView {
    const inputs = order.map((index) => this.node.inputs[index]);
    return new NodeView(this.graph, { ...this.node, op, domain: "", inputs }, this.inference);
  }

  /** Version of the operator set that the node belongs to. */
  get opset(): number {
    return this.graph.opsets.get(this.node.domain) ?? 1;
  }

  input(index: number): Value | undefined {
    return this.node.inputs[index];
  }

  output(index = 0): Value | undefined {
    return this.node.outputs[index];
  }

  type(value: Value | undefined): ValueType | undefined {
    return value && this.inference.types.get(value);
  }

  /** Shape of input `index`; `undefined` if the rank is not known. */
  shape(index: number): readonly Dim[] | undefined {
    return this.type(this.node.inputs[index])?.shape;
  }

  outputShape(index = 0): readonly Dim[] | undefined {
    return this.type(this.node.outputs[index])?.shape;
  }

  dtype(index: number): DataType | undefined {
    return this.type(this.node.inputs[index])?.dtype;
  }

  /** Known elements of a small integer input, symbols included. */
  content(index: number): readonly Dim[] | undefined {
    const value = this.node.inputs[index];
    return value && this.inference.contents.get(value);
  }

  /** Known elements of any small integer value of the graph. */
  contentOf(value: Value): readonly Dim[] | undefined {
    return this.inference.contents.get(value);
  }

  /** Known elements of a small integer input, if all of them are numbers. */
  integers(index: number): readonly number[] | undefined {
    const content = this.content(index);
    return content?.every((dim) => typeof dim === "number") ? content : undefined;
  }

  /** Elements of a small constant input of any number type (scales, clip bounds). */
  numbers(index: number): readonly number[] | undefined {
    const data = this.node.inputs[index]?.data;
    if (!data || data.dtype === "string" || data.shape.reduce((a, b) => a * b, 1) > contentLimit)
      return undefined;
    return [...readNumbers(data)];
  }

  /** An axis attribute counted from the front, given the rank it refers to. */
  axis(name: string, fallback: number, rank: number): number {
    return frontAxis(intAttribute(this.node, name, fallback), rank);
  }

  /**
   * The axes of Squeeze, Unsqueeze, Reduce*, …: an attribute in older operator sets, an input in newer ones. `undefined`
   * when left out, `"unknown"` when computed at run time.
   */
  axes(inputIndex: number): readonly number[] | "unknown" | undefined {
    const attribute = intsAttribute(this.node, "axes");
    if (attribute) return attribute;
    if (!this.node.inputs[inputIndex]) return undefined;
    return this.integers(inputIndex) ?? "unknown";
  }
}
