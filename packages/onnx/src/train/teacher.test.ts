import { findSites, type Graph, tensorOf } from "@dgate/onnx";
import { expect, test } from "vitest";
import { mlp, normals } from "../../test/train/nets.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { distill } from "./loss.ts";
import { openTrainer } from "./trainer.ts";

/** A model whose inputs, weights and outputs are float16. */
function half(): Graph {
  const graph = mlp();
  for (const value of graph.values) {
    if (value.type) value.type = { ...value.type, dtype: "float16" };
    if (value.data) graph.setData(value, tensorOf("float16", value.data.shape, readNumbers(value.data)));
  }
  return graph;
}

test.each(["kl", "mse"] as const)("a float16 model teaches its float32 training form (%s)", async (kind) => {
  const graph = half();
  const trainer = await openTrainer(graph, { loss: distill({ kind }), sites: findSites(graph) });
  const { losses } = await trainer.fit([{ x: { data: normals(3, 64), shape: [8, 8] } }]);
  await trainer.dispose();
  // Gates and weights begin as float16 numbers whose products are rounded.
  expect(losses[0]).toBeLessThan(1e-5);
});

test("a teacher without the output that is compared is refused", async () => {
  const graph = mlp();
  const teacher = mlp();
  teacher.rename(teacher.outputs[0]!, "scores");
  await expect(
    openTrainer(graph, { loss: distill(), sites: findSites(graph), teacher }),
  ).rejects.toMatchObject({ code: "OPTION", message: expect.stringContaining('no output "logits"') });
});
