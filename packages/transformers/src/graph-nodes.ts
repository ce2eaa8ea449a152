import type { Attribute, DataType, Graph, Value } from "@dgate/onnx";
import { tensorOf } from "@dgate/onnx";

/** Adds nodes and constants to a graph, under names that begin alike. */
export class GraphNodes {
  readonly graph: Graph;
  readonly #scope: string;

  constructor(graph: Graph, scope: string) {
    this.graph = graph;
    this.#scope = scope;
  }

  /** A node of the standard domain with one output. */
  op(op: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    const output = this.graph.addValue(this.graph.freshName(`${this.#scope}/${op}`));
    this.graph.addNode({ op, name: output.name, inputs, outputs: [output], attributes });
    return output;
  }

  /** @param shape of one axis if left out */
  constant(
    dtype: Extract<DataType, "float32" | "int64">,
    values: readonly number[],
    shape: readonly number[] = [values.length],
  ): Value {
    return this.graph.addInitializer(
      this.graph.freshName(`${this.#scope}/constant`),
      tensorOf(dtype, shape, values),
    );
  }
}
