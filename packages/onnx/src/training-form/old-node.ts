import { DgateError } from "@dgate/core";
import type { Attribute } from "../graph/attribute.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { DataType, Tensor } from "../graph/tensor.ts";
import type { GrowingInference } from "../infer/infer-shapes.ts";
import { NodeView } from "../infer/view.ts";
import { tensorOf } from "../io/tensor-data.ts";
import type { FreshNames } from "./subgraphs.ts";
import { takeOver } from "./take-over.ts";

/** What upgrading a graph needs to know beside the graph. */
export interface Upgrading {
  readonly graph: Graph;
  readonly inference: GrowingInference;
  readonly names: FreshNames;
}

/** A node in the form of an older operator set, with the edits that bring it to a newer one. */
export class OldNode extends NodeView {
  readonly #names: FreshNames;
  readonly #growing: GrowingInference;

  constructor({ graph, inference, names }: Upgrading, node: Node) {
    super(graph, node, inference);
    this.#growing = inference;
    this.#names = names;
  }

  /** A constant of the node's own graph. */
  constant(stem: string, dtype: DataType, shape: readonly number[], values: readonly number[]): Value {
    const first = this.node.outputs.find((value) => value !== undefined)?.name;
    const name = this.#names.next(`${this.node.name || first}/${stem}`);
    return this.graph.addInitializer(name, tensorOf(dtype, shape, values));
  }

  integersOf(stem: string, values: readonly number[]): Value {
    return this.constant(stem, "int64", [values.length], values);
  }

  /** The content of a small constant input, be it an initializer or a Constant node. */
  tensor(index: number): Tensor | undefined {
    const value = this.node.inputs[index];
    const attribute = value && this.graph.producer(value)?.attributes.get("value");
    return attribute?.kind === "tensor" ? attribute.value : value?.data;
  }

  /** The element type of the data; of a type that cannot be found out, the one that onnxruntime had for the old form. */
  get dataType(): DataType {
    return this.dtype(0) ?? "float32";
  }

  setAttributes(attributes: Readonly<Record<string, Attribute | undefined>>): void {
    for (const [name, attribute] of Object.entries(attributes))
      this.graph.setAttribute(this.node, name, attribute);
  }

  setInput(index: number, value: Value | undefined): void {
    this.graph.setInput(this.node, index, value);
  }

  /** Adds a node of one output. */
  add(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: ReadonlyMap<string, Attribute> | Readonly<Record<string, Attribute>> = {},
    name = "",
  ): Value {
    const output = this.graph.addValue(this.#names.next(`${this.node.outputs[0]?.name}/${op}`));
    this.graph.addNode({ op, inputs, attributes, outputs: [output], name });
    return output;
  }

  /** Puts fresh values in the place of the outputs that are used, and removes the node. */
  replaceBy(...results: readonly (Value | undefined)[]): void {
    takeOver(this.graph, this.node, results, this.#growing);
  }

  /** Lets whoever uses the outputs use values that are there already, and removes the node. */
  bypass(...results: readonly (Value | undefined)[]): void {
    takeOver(this.graph, this.node, results, this.#growing, false);
  }

  /** Whether anybody reads an output. */
  isUsed(index: number): boolean {
    const output = this.node.outputs[index];
    return output !== undefined && this.graph.uses(output).length > 0;
  }

  unsupported(what: string): DgateError {
    return new DgateError(
      "UNSUPPORTED",
      `${describeNode(this.node)} of opset ${this.opset} ${what}; export the model with a newer opset.`,
    );
  }
}
