import { randomGenerator } from "@dgate/core";
import { findSites, Graph, tensorOf, writeModel } from "@dgate/onnx";
import { adam, meanSquaredError, openTrainer, warmupCosine } from "@dgate/onnx/train";

// Any ONNX model will do: readModelFile("model.onnx"). This one is an untrained network of 64 hidden neurons.
const random = randomGenerator(1);
const normal = (count: number, scale = 1) =>
  Float32Array.from({ length: count }, () => scale * random.normal());
const graph = new Graph("small");
const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 4] });
const first = graph.addInitializer("first", tensorOf("float32", [4, 64], normal(256, 0.5)));
const second = graph.addInitializer("second", tensorOf("float32", [64, 1], normal(64, 0.2)));
const hidden = graph.addNode({ op: "MatMul", inputs: [x, first], name: "hidden" }).outputs[0]!;
const active = graph.addNode({ op: "Tanh", inputs: [hidden] }).outputs[0]!;
graph.addOutput(graph.addNode({ op: "MatMul", inputs: [active, second], name: "out" }).outputs[0]!);

function* batches() {
  for (;;) {
    const data = normal(128);
    const sums = Float32Array.from({ length: 32 }, (_, row) =>
      Math.tanh(data[4 * row]! + data[4 * row + 1]!),
    );
    yield { x: { data, shape: [32, 4] }, targets: { data: sums, shape: [32, 1] } };
  }
}

const trainer = await openTrainer(graph, {
  sites: findSites(graph),
  depth: 3, // λ·‖w_j‖^{2/3} for each neuron
  lambda: 1e-2,
  train: "all", // "groups": gates and gated weights; "gates": all weights frozen
  loss: meanSquaredError(), // or crossEntropy, nextToken, distill: the dense model is the teacher
  optimizer: adam(),
  learningRate: warmupCosine(1e-2),
});
const { losses } = await trainer.fit(batches(), { steps: 600 });
const { graph: small, report, warnings } = await trainer.prune(); // folded, cut, and proven equal to the masked model
await trainer.dispose();
console.log(losses[0], "→", losses.at(-1), report.removed, warnings, writeModel(small).length);
