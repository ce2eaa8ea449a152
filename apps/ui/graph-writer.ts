import { randomGenerator } from "@dgate/core";
import { type Attribute, type DataType, type Graph, tensorOf, type Value } from "@dgate/onnx";

/** Writes the nodes of a graph, with drawn weights. */
export class GraphWriter {
  readonly graph: Graph;
  readonly #random: () => number;
  readonly #shared = new Map<string, Value>();

  constructor(graph: Graph, seed: number) {
    this.graph = graph;
    const random = randomGenerator(seed);
    this.#random = () => random.normal();
  }

  /** @param output where it goes: a value of its own if left out */
  op(
    name: string,
    op: string,
    inputs: readonly Value[],
    attributes: Record<string, Attribute> = {},
    output?: Value,
  ): Value {
    const outputs = output && { outputs: [output] };
    return this.graph.addNode({ op, name, inputs, attributes, ...outputs }).outputs[0]!;
  }

  /** A weight, normal with this deviation around this mean. */
  weight(name: string, shape: readonly number[], deviation: number, mean = 0): Value {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from(
      { length: size },
      () => mean + (deviation === 0 ? 0 : deviation * this.#random()),
    );
    return this.graph.addInitializer(name, tensorOf("float32", shape, values));
  }

  integers(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.#constant(`i${shape.length}:${values.join("_")}`, "int64", shape, values);
  }

  number(value: number): Value {
    return this.#constant(`f:${value}`, "float32", [], [value]);
  }

  #constant(key: string, dtype: DataType, shape: readonly number[], values: readonly number[]): Value {
    const known = this.#shared.get(key);
    if (known) return known;
    const made = this.graph.addInitializer(`constant/${key}`, tensorOf(dtype, shape, values));
    this.#shared.set(key, made);
    return made;
  }
}
