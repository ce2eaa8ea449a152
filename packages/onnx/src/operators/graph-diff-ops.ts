import { DgateError } from "@dgate/core";
import type { Dim, Graph, Node, Value } from "../graph/graph.ts";
import { describeNode } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { type GrowingInference, inferConstant, inferNode, inferShapes } from "../infer/infer-shapes.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { binaryOps } from "../ops/families.ts";
import { CommonNodes } from "./common-nodes.ts";
import { type Attributes, DiffOps, sameDims } from "./diff-ops.ts";

/** The operator set whose forms are emitted. */
const emittedOpset = 18;

/** Constants up to this size are made once. */
const sharedElements = 64;

const broadcasting: ReadonlySet<string> = new Set(binaryOps);

/**
 * `DiffOps` on the values of a graph of operator set 18 or later: a call adds a typed node and gives its outputs. A node that
 * computes the same is used again, integers that are known (sizes) become constants, and a tensor that is only repeated to meet
 * one of its own size is not repeated.
 *
 * @throws DgateError `UNSUPPORTED` for an older operator set
 */
export class GraphDiffOps extends DiffOps<Value> {
  readonly graph: Graph;
  readonly inference: GrowingInference;
  readonly #scope: string;
  readonly #common: CommonNodes;
  readonly #constants = new Map<string, Value>();
  readonly #nodeNames: Set<string>;

  /** @param scope what the names of new values start with */
  constructor(graph: Graph, scope: string, inference: GrowingInference = inferShapes(graph)) {
    super();
    const opset = graph.opsets.get("") ?? 0;
    if (opset < emittedOpset) {
      throw new DgateError(
        "UNSUPPORTED",
        `graph "${graph.name}" has opset ${opset}; nodes of opset ${emittedOpset} cannot be added to it.`,
      );
    }
    this.graph = graph;
    this.inference = inference;
    this.#scope = scope;
    this.#common = new CommonNodes(graph);
    for (const node of graph.sorted()) this.#common.add(node);
    this.#nodeNames = new Set(graph.nodes().map(({ name }) => name));
  }

  override apply(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Attributes = {},
    outputs = 1,
  ): readonly Value[] {
    const read = broadcasting.has(op) ? this.#withoutExpand(op, inputs) : this.#throughReshape(op, inputs);
    const found = this.#common.find({ op, inputs: read, attributes }, outputs);
    const node = found ?? this.#add(op, read, attributes, outputs);
    const first = node.outputs[0];
    const known = found ? undefined : first && this.#knownIntegers(first);
    if (known && outputs === 1) {
      this.graph.remove(node);
      return [known];
    }
    if (!found) this.#common.add(node);
    return node.outputs.slice(0, outputs).map((value) => value!);
  }

  override shape(x: Value): readonly Dim[] | undefined {
    return this.inference.types.get(x)?.shape;
  }

  override dtype(x: Value): DataType {
    const type = this.inference.types.get(x);
    if (type) return type.dtype;
    const node = this.#firstUnknown(x);
    throw new DgateError(
      "UNSUPPORTED",
      `the element type of "${x.name}" is not known${node ? `: ${describeNode(node)} has no shape rule` : ""}; ` +
        "declare it in the model's value_info.",
    );
  }

  /** The node that a missing type comes from: what it reads is known. */
  #firstUnknown(x: Value): Node | undefined {
    const node = this.graph.producer(x);
    const unknown = node?.inputs.find((input) => input && !this.inference.types.has(input));
    return unknown ? (this.#firstUnknown(unknown) ?? node) : node;
  }

  override knownDtype(x: Value): DataType | undefined {
    return this.inference.types.get(x)?.dtype;
  }

  override constant(dtype: DataType, shape: readonly number[], values: ArrayLike<number>): Value {
    const shared = values.length <= sharedElements;
    const key = shared ? `${dtype}[${shape.join()}]${Array.from(values).join()}` : "";
    const found = shared ? this.#constants.get(key) : undefined;
    if (found) return found;
    const value = this.graph.addInitializer(this.#fresh("constant"), tensorOf(dtype, shape, values));
    inferConstant(value, this.inference);
    if (shared) this.#constants.set(key, value);
    return value;
  }

  override content(x: Value): readonly Dim[] | undefined {
    return this.inference.contents.get(x);
  }

  #add(op: string, inputs: readonly (Value | undefined)[], attributes: Attributes, outputs: number): Node {
    const values = Array.from({ length: outputs }, () => this.graph.addValue(this.#fresh(op)));
    const name = this.#freshNodeName(values[0]!.name);
    const node = this.graph.addNode({ op, inputs, outputs: values, attributes, name });
    inferNode(this.graph, node, this.inference);
    for (const value of values) value.type = this.inference.types.get(value);
    return node;
  }

  /** An integer result that does not depend on the run, as a constant. */
  #knownIntegers(value: Value): Value | undefined {
    const type = this.inference.types.get(value);
    const content = this.inference.contents.get(value);
    if (type?.dtype !== "int64" || !content?.every((dim) => typeof dim === "number")) return undefined;
    const shape = type.shape;
    if (!shape?.every((dim) => typeof dim === "number")) return undefined;
    if (shape.reduce((a, b) => a * b, 1) !== content.length) return undefined;
    return this.constant("int64", shape, content);
  }

  /** Operands as they were before they were repeated, where the other operand has the size that they were repeated to. */
  #withoutExpand(op: string, inputs: readonly (Value | undefined)[]): readonly (Value | undefined)[] {
    const [a, b] = inputs;
    if (inputs.length !== 2 || !a || !b || op === "Mean") return inputs;
    const source = (x: Value, other: Value): Value => {
      const node = this.graph.producer(x);
      const [own, others] = [this.shape(x), this.shape(other)];
      if (node?.op !== "Expand" || !own || !others || !sameDims(own, others)) return x;
      return node.inputs[0]!;
    };
    const first = source(a, b);
    // One of them has to keep the size.
    return first !== a ? [first, b] : [a, source(b, a)];
  }

  /** What Reshape reads before another Reshape. */
  #throughReshape(op: string, inputs: readonly (Value | undefined)[]): readonly (Value | undefined)[] {
    const [x, target, ...more] = inputs;
    const node = op === "Reshape" && x ? this.graph.producer(x) : undefined;
    // A 0 in the target means the size of what is read.
    const copies = target ? this.integers(target)?.includes(0) : true;
    return node?.op === "Reshape" && copies === false ? [node.inputs[0], target, ...more] : inputs;
  }

  /** A value that was given another name leaves its first one to its node. */
  #freshNodeName(stem: string): string {
    let name = stem;
    for (let i = 1; this.#nodeNames.has(name); i += 1) name = `${stem}/${i}`;
    this.#nodeNames.add(name);
    return name;
  }

  #fresh(stem: string): string {
    return this.graph.freshName(`${this.#scope}/${stem}`);
  }
}
