import { Graph, gradients, int, numbersOf, openRunner, tensorOf, type Value } from "@dgate/onnx";
import { expect, test } from "vitest";

const codes = [3, -2, 5, 0, 7, -8, 1, 2, -4, 6, -1, 4];
const [scale, zero] = [0.25, 1];

/** Σ (x·W)² of a weight W `[4, 3]`. */
function model(weight: (graph: Graph) => Value): Graph {
  const graph = new Graph("test", [["", 18]]);
  const x = graph.addInput("x", { dtype: "float32", shape: ["rows", 4] });
  const add = (op: string, inputs: Value[]): Value => graph.addNode({ op, inputs }).outputs[0]!;
  const y = add("MatMul", [x, weight(graph)]);
  const [loss] = graph.addNode({
    op: "ReduceSum",
    inputs: [add("Mul", [y, y])],
    attributes: { keepdims: int(0) },
  }).outputs;
  graph.rename(loss!, "loss");
  graph.addOutput(loss!);
  return graph;
}

async function gradientOf(graph: Graph): Promise<readonly number[]> {
  const runner = await openRunner(gradients(graph, { loss: "loss", wrt: ["w"] }));
  const results = await runner.run({ x: tensorOf("float32", [2, 4], [1, -2, 0.5, 3, 0.25, 1, -1, 2]) });
  await runner.dispose();
  return [...numbersOf(results["w.gradient"]!)].map(Number);
}

test("a weight of codes has the gradient of the numbers that they stand for, under its name", async () => {
  const quantized = model((graph) => {
    const parameters = [
      graph.addInitializer("w", tensorOf("int8", [4, 3], codes)),
      graph.addInitializer("scale", tensorOf("float32", [], [scale])),
      graph.addInitializer("zero", tensorOf("int8", [], [zero])),
    ];
    return graph.addNode({ op: "DequantizeLinear", inputs: parameters }).outputs[0]!;
  });
  const before = String(quantized);
  const plain = model((graph) =>
    graph.addInitializer(
      "w",
      tensorOf(
        "float32",
        [4, 3],
        codes.map((code) => scale * (code - zero)),
      ),
    ),
  );
  expect(await gradientOf(quantized)).toEqual(await gradientOf(plain));
  expect(String(quantized)).toBe(before);
});
