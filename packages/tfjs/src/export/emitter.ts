import { DgateError } from "@dgate/core";
import {
  type Attribute,
  type DataType,
  Graph,
  ints,
  type Node,
  type Tensor,
  tensorOf,
  transposeTensor,
  type Value,
} from "@dgate/onnx";
import type * as tf from "@tensorflow/tfjs";
import { propertyName, type WeightBinding, type WeightReshape } from "./bindings.ts";
import type { LayerWeights } from "./read-weights.ts";
import { channelsBackward, channelsForward, type Layout, type Traced } from "./traced.ts";

/** What a layer asks for when it wants one of its weights in the graph. */
export interface WeightOptions {
  /** Axes of the tfjs weight in ONNX order; as they are if left out. */
  readonly permutation?: readonly number[];
  readonly reshape?: WeightReshape;
}

/**
 * Builds the graph: nodes, constants, weights with their bindings, and the only place where layouts are changed. A
 * value is transposed at most once in each direction, whoever asks for it.
 */
export class Emitter {
  readonly graph: Graph;
  readonly bindings: WeightBinding[] = [];
  readonly #weights: LayerWeights;
  readonly #paths: ReadonlyMap<tf.layers.Layer, string>;
  readonly #nodeNames = new Set<string>();
  readonly #constants = new Map<string, Value>();

  constructor(name: string, weights: LayerWeights, paths: ReadonlyMap<tf.layers.Layer, string>) {
    this.graph = new Graph(name);
    this.#weights = weights;
    this.#paths = paths;
  }

  /** Path of a layer: see `WeightBinding.layer`. */
  path(layer: tf.layers.Layer): string {
    return this.#paths.get(layer) ?? layer.name;
  }

  /** Adds a node with one output. `name` is made unique by a number where it is taken. */
  node(
    name: string,
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const node = this.graph.addNode({ name: this.#uniqueNodeName(name), op, inputs, attributes });
    return onlyOutput(node);
  }

  /** The graph value of `x` in the asked layout; a Transpose is inserted when it is not there yet. */
  valueIn(layout: Layout, { shape, values }: Traced): Value {
    const rank = shape.length;
    const own = values[layout];
    if (own) return own;
    const other = values[layout === "tfjs" ? "onnx" : "tfjs"];
    if (!other) throw new Error("unreachable: a traced value without graph value");
    if (rank < 3) return other;
    const perm = layout === "onnx" ? channelsForward(rank) : channelsBackward(rank);
    const name = `${this.graph.producer(other)?.name || other.name}/transpose`;
    return (values[layout] = this.node(name, "Transpose", [other], { perm: ints(perm) }));
  }

  /** A small constant, shared by all who ask for the same one. */
  constant(
    dtype: DataType & ("float32" | "int64"),
    values: readonly number[],
    shape: readonly number[],
  ): Value {
    const key = `${dtype}[${shape.join(",")}]:${values.join(",")}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const name = values.length === 1 ? `const/${values[0]}` : `const/${this.#constants.size}`;
    const value = this.graph.addInitializer(this.graph.freshName(name), tensorOf(dtype, shape, values));
    this.#constants.set(key, value);
    return value;
  }

  /** Weight `name` of `layer` as an initializer `${layer}/${name}`, or `undefined` where the layer has none. */
  weight(layer: tf.layers.Layer, name: string, options: WeightOptions = {}): Value | undefined {
    const known = this.graph.value(`${this.path(layer)}/${name}`);
    if (known) return known;
    const weight = this.#weights.get(layer)?.get(name);
    if (!weight) return undefined;
    const permutation = options.permutation ?? weight.shape.map((_, axis) => axis);
    return this.#bind(layer, name, weight.shape, false, { ...options, permutation }, weight.values);
  }

  /** A weight that the layer does not have, filled with one value; bound as `made`, so that folding can use it. */
  madeWeight(layer: tf.layers.Layer, name: string, shape: readonly number[], fill: number): Value {
    const known = this.graph.value(`${this.path(layer)}/${name}`);
    if (known) return known;
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill);
    return this.#bind(layer, name, shape, true, { permutation: shape.map((_, axis) => axis) }, values);
  }

  #bind(
    layer: tf.layers.Layer,
    weight: string,
    shape: readonly number[],
    made: boolean,
    { permutation, reshape }: WeightOptions & { readonly permutation: readonly number[] },
    values: Float32Array,
  ): Value {
    const path = this.path(layer);
    const permuted = transposeTensor(tensorOf("float32", shape, values), permutation);
    const data: Tensor = reshape ? { ...permuted, shape: closeAxis(reshape.onnx, values.length) } : permuted;
    const initializer = `${path}/${weight}`;
    if (this.graph.value(initializer)) {
      throw new DgateError(
        "UNSUPPORTED",
        `toOnnx: two weights would be named "${initializer}"; give the layers different names.`,
      );
    }
    this.bindings.push({
      initializer,
      layer: path,
      weight: propertyName(weight),
      shape,
      permutation,
      reshape,
      made,
    });
    return this.graph.addInitializer(initializer, data);
  }

  #uniqueNodeName(stem: string): string {
    let name = stem;
    for (let i = 2; this.#nodeNames.has(name); i++) name = `${stem}_${i}`;
    this.#nodeNames.add(name);
    return name;
  }
}

/** The one output of a node that `Emitter.node` made. */
function onlyOutput(node: Node): Value {
  const [output] = node.outputs;
  if (!output) throw new Error("unreachable: a node without output");
  return output;
}

/** Replaces the −1 of a shape so that it holds `count` elements. */
export function closeAxis(shape: readonly number[], count: number): number[] {
  const fixed = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  return shape.map((n) => (n === -1 ? count / fixed : n));
}
