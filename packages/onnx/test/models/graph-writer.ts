import { randomGenerator } from "@dgate/core";
import {
  type Attribute,
  type DataType,
  type Dim,
  Graph,
  type Tensor,
  tensor,
  tensorOf,
  type Value,
} from "@dgate/onnx";
import type { InputContent } from "./input-content.ts";
import type { InputSpec } from "./transformer-model.ts";

/** How a file holds its small constants. */
export type ConstantStyle =
  /** A Constant node for each, as torch.onnx writes them. */
  | "nodes"
  /** An initializer for each, as tf2onnx and graph optimisers write them. */
  | "initializers"
  /** One initializer for all equal constants of the model, as onnxslim writes them. */
  | "shared";

/** Options of a graph writer. */
export interface WriterOptions {
  readonly name?: string;
  /** Seed of the weights. */
  readonly seed?: number;
  readonly opset?: number;
  readonly constants?: ConstantStyle;
}

/** How the numbers of a weight are drawn: normal with this standard deviation around this mean. */
export interface WeightInit {
  readonly scale?: number;
  readonly mean?: number;
}

/** A layer's output with the names of its parameters. */
export interface Linear {
  readonly y: Value;
  readonly weight: string;
  readonly bias?: string;
}

/**
 * Writes graphs the way exporters do: scoped names (`/bert/encoder/layer.0/query/MatMul`), constants in the style of the tool,
 * weights with random numbers under their module's name. A weight asked for twice under one name is shared. The writer of
 * an If branch (`branch`) puts its weights into the outermost graph, as optimum does.
 */
export class GraphWriter {
  readonly graph: Graph;
  readonly opset: number;
  readonly constants: ConstantStyle;
  readonly specs: InputSpec[];
  readonly #root: GraphWriter;
  readonly #seed: number;
  readonly #scope: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #shared = new Map<string, Value>();
  #matmuls = 600;

  constructor(options: WriterOptions = {}, parent?: GraphWriter) {
    const { name = "main_graph", seed = 1, opset = 17, constants = "nodes" } = options;
    this.opset = opset;
    this.constants = constants;
    this.graph = new Graph(name, [["", opset]]);
    this.#root = parent ? parent.#root : this;
    this.#seed = seed;
    this.specs = parent ? parent.specs : [];
    if (!parent) this.graph.info = { ...this.graph.info, producerName: "test transformers" };
  }

  protected get options(): WriterOptions {
    return { opset: this.opset, constants: this.constants };
  }

  /** Where the writer is: `/encoder/layer.0`, the start of the names of all nodes below. */
  get scope(): string {
    return this.#scope.map((part) => `/${part}`).join("");
  }

  /** Everything that `write` adds is named below `scope`. */
  within<T>(scope: string, write: () => T): T {
    this.#scope.push(scope);
    try {
      return write();
    } finally {
      this.#scope.pop();
    }
  }

  /** A graph input, with what a caller feeds it. */
  input(name: string, shape: readonly Dim[], content: InputContent): Value {
    this.#root.specs.push({ name, content });
    return this.#root.graph.addInput(name, { dtype: content.dtype, shape });
  }

  /** Names a value and makes it a graph output of the given shape. */
  output(name: string, value: Value, shape?: readonly Dim[], dtype: DataType = "float32"): void {
    this.graph.rename(value, name);
    if (shape) value.type = { dtype, shape };
    this.graph.addOutput(value);
  }

  /** A node with one output, named by scope and operator: `/encoder/layer.0/MatMul_1`. */
  op(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    return this.ops(op, inputs, 1, attributes)[0]!;
  }

  /** A node with several outputs. */
  ops(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputs: number,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value[] {
    const name = this.#numbered(`${this.scope}/${op}`);
    const node = this.graph.addNode({ op, inputs, outputs, attributes, name });
    return node.outputs.map((value) => value!);
  }

  /** A small constant: an int64 scalar or list, float32, bool … */
  constant(dtype: DataType, shape: readonly number[], values: readonly number[]): Value {
    const data = tensorOf(dtype, shape, values);
    if (this.constants === "nodes") return this.op("Constant", [], { value: tensor(data) });
    if (this.constants === "initializers")
      return this.graph.addInitializer(this.graph.freshName("const"), data);
    const key = `${dtype}[${shape.join(",")}] ${values.join(",")}`;
    const known = this.#shared.get(key);
    if (known) return known;
    const value = this.graph.addInitializer(this.graph.freshName("shared_const"), data);
    this.#shared.set(key, value);
    return value;
  }

  /** A large constant that is no learnt weight (a causal mask, position ids, an index table): `scope.name`. */
  buffer(name: string, make: () => Tensor): Value {
    return this.outer(this.#root.#weight(this.#path(name), make));
  }

  /** A random float32 parameter `scope.name`. Its numbers follow from the seed and the name alone, so that variants of a model agree. */
  weight(name: string, shape: readonly number[], init: WeightInit = {}): Value {
    const path = this.#path(name);
    return this.buffer(name, () => this.#draw(path, shape, init));
  }

  #draw(path: string, shape: readonly number[], { scale = 0.5, mean = 0 }: WeightInit): Tensor {
    const random = randomGenerator(hash(`${this.#root.#seed} ${path}`));
    const count = shape.reduce((a, b) => a * b, 1);
    return tensorOf(
      "float32",
      shape,
      Array.from({ length: count }, () => mean + scale * random.normal()),
    );
  }

  /**
   * `x·W (+ b)` of a torch Linear: MatMul by the transposed weight, which the exporter folds and names `onnx::MatMul_612`,
   * then Add with the bias first.
   */
  linear(
    name: string,
    x: Value,
    [inputs, outputs]: readonly [number, number],
    { bias = true, gain = 1 }: { readonly bias?: boolean; readonly gain?: number } = {},
  ): Linear {
    return this.within(name, () => {
      const w = this.matrix("weight", [inputs, outputs], gain);
      const product = this.op("MatMul", [x, w]);
      if (!bias) return { y: product, weight: w.name };
      const b = this.weight("bias", [outputs]);
      return { y: this.op("Add", [b, product]), weight: w.name, bias: b.name };
    });
  }

  /** A weight under the name that torch gives to what it folds: `onnx::MatMul_612`, the same for the same module. */
  matrix(module: string, shape: readonly number[], gain = 1): Value {
    const path = this.#path(module);
    const root = this.#root;
    const known = root.#shared.get(path);
    if (known) return this.outer(known);
    const scale = gain / Math.sqrt(shape[0]!);
    const name = `onnx::MatMul_${++root.#matmuls}`;
    const value = root.graph.addInitializer(name, this.#draw(path, shape, { scale }));
    root.#shared.set(path, value);
    return this.outer(value);
  }

  /** The value of the outermost graph as seen from here: itself, or a reference in a branch. */
  outer(value: Value): Value {
    if (this.#root === this) return value;
    return this.graph.value(value.name) ?? this.graph.addOuter(value.name, value.type);
  }

  #weight(path: string, make: () => Tensor): Value {
    return this.graph.value(path) ?? this.graph.addInitializer(path, make());
  }

  #path(name: string): string {
    return [...this.#scope, name].join(".").replaceAll("/", ".");
  }

  #numbered(name: string): string {
    const count = this.#counts.get(name) ?? 0;
    this.#counts.set(name, count + 1);
    return count === 0 ? name : `${name}_${count}`;
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return state >>> 0;
}
