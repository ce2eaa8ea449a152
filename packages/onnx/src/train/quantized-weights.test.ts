import { findSites, Graph, int, tensorOf, type Value } from "@dgate/onnx";
import { expect, test } from "vitest";
import { normals } from "../../test/train/nets.ts";
import { meanSquaredError } from "./loss.ts";
import { openTrainer } from "./trainer.ts";

/** Two layers of 4-bit weights, 32 → 64 → 3; `level` says what onnxruntime multiplies them with. */
function network(level: number): Graph {
  const graph = new Graph("test", [
    ["", 18],
    ["com.microsoft", 1],
  ]);
  const layer = (name: string, x: Value, [inputs, outputs]: readonly [number, number]): Value => {
    const bytes = Array.from({ length: (inputs * outputs) / 2 }, (_, i) => (i * 37) % 256);
    const codes = graph.addInitializer(`${name}.codes`, tensorOf("uint8", [outputs, inputs / 32, 16], bytes));
    const blocks = (inputs * outputs) / 32;
    const scales = graph.addInitializer(
      `${name}.scales`,
      tensorOf("float32", [blocks], new Float32Array(blocks).fill(0.05)),
    );
    return graph.addNode({
      op: "MatMulNBits",
      domain: "com.microsoft",
      name,
      inputs: [x, codes, scales],
      attributes: {
        K: int(inputs),
        N: int(outputs),
        bits: int(4),
        block_size: int(32),
        accuracy_level: int(level),
      },
    }).outputs[0]!;
  };
  const x = graph.addInput("x", { dtype: "float32", shape: ["rows", 32] });
  const h = graph.addNode({ op: "Tanh", inputs: [layer("up", x, [32, 64])] }).outputs[0]!;
  const y = layer("down", h, [64, 3]);
  graph.rename(y, "y");
  graph.addOutput(y);
  return graph;
}

test.each([0, 4])("weights of codes are trained as floats, at accuracy level %i", async (level) => {
  const graph = network(level);
  const trainer = await openTrainer(graph, { loss: meanSquaredError(), sites: findSites(graph) });
  expect(trainer.parameters.map(({ name }) => name)).toEqual(["up.codes", "up.neurons.gate.1"]);
  const batch = {
    x: { data: normals(1, 128), shape: [4, 32] },
    targets: { data: normals(2, 12), shape: [4, 3] },
  };
  await expect(trainer.fit([batch])).resolves.toMatchObject({ steps: 1 });
  await trainer.dispose();
});
