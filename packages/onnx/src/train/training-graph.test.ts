import { findSites } from "@dgate/onnx";
import { expect, test } from "vitest";
import { charGpt } from "../../test/models/char-gpt.ts";
import { crossEntropy } from "./loss.ts";
import { openTrainer } from "./trainer.ts";

test("training all weights leaves the constants alone that spread a gate over its head", async () => {
  const { graph } = charGpt({ layers: 1, heads: 2, width: 8, context: 4, vocabulary: 5 });
  const sites = findSites(graph);
  const options = { loss: crossEntropy(), sites, gate: ["heads"], learningRate: 0.1 };
  const trainer = await openTrainer(graph, { ...options, train: "all" });
  const gate = `${sites.find(({ kind }) => kind === "heads")!.name}.gate.1`;
  expect(trainer.parameters.filter(({ name }) => !graph.value(name)).map(({ name }) => name)).toEqual([gate]);
  const window = { data: [0, 1, 2, 3], shape: [1, 4] };
  await trainer.fit([{ input_ids: window, labels: window }]);
  const { groups } = await trainer.fold();
  expect(groups).toHaveLength(1);
  await trainer.dispose();
});
