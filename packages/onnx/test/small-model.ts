import { randomGenerator } from "@dgate/core";
import { float, int } from "../src/graph/attribute.ts";
import { Graph } from "../src/graph/graph.ts";
import { tensorOf } from "../src/io/tensor-data.ts";

/** A perceptron `y = softmax(w₂·leaky(w₁·x + b₁))` with 4 inputs, 8 hidden neurons and 3 classes; weights seeded. */
export function smallModel(): Graph {
  const random = randomGenerator(1);
  const values = (count: number): number[] => Array.from({ length: count }, () => 2 * random.next() - 1);
  const graph = new Graph("perceptron");
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 4] });
  const w1 = graph.addInitializer("w1", tensorOf("float32", [4, 8], values(32)));
  const b1 = graph.addInitializer("b1", tensorOf("float32", [8], values(8)));
  const w2 = graph.addInitializer("w2", tensorOf("float32", [8, 3], values(24)));
  const hidden = graph.addNode({ op: "Gemm", inputs: [x, w1, b1], name: "hidden" }).outputs[0];
  const active = graph.addNode({ op: "LeakyRelu", inputs: [hidden], attributes: { alpha: float(0.25) } })
    .outputs[0];
  const scores = graph.addNode({ op: "MatMul", inputs: [active, w2], name: "scores" }).outputs[0];
  const y = graph.addValue("y", { dtype: "float32", shape: ["batch", 3] });
  graph.addNode({ op: "Softmax", inputs: [scores], outputs: [y], attributes: { axis: int(-1) } });
  graph.addOutput(y);
  return graph;
}
