import { findSites } from "@dgate/onnx";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { bigram, normals } from "../../test/train/nets.ts";
import { nextToken } from "./loss.ts";
import { openTrainer } from "./trainer.ts";

/** Tokens `[1, 4]` of which the third is given. */
const tokens = (third: number) => ({ data: [0, 1, third, 3], shape: [1, 4] });

test("a token that is no label of the model is refused, one to ignore is not", async () => {
  const net = new GraphBuilder(1, 18);
  const x = net.input("embeddings", ["batch", "positions", 6]);
  const y = net.matmul("down", net.op("Tanh", [net.matmul("up", x, [6, 10])]), [10, 7]);
  net.graph.rename(y, "logits");
  const graph = net.output(y);
  const trainer = await openTrainer(graph, { loss: nextToken(), sites: findSites(graph) });
  const embeddings = { data: normals(1, 24), shape: [1, 4, 6] };
  const fit = (third: number) => trainer.fit([{ embeddings, input_ids: tokens(third) }]);
  await expect(fit(9)).rejects.toMatchObject({ code: "DATA", message: expect.stringContaining("the id 9") });
  await expect(fit(-1)).rejects.toMatchObject({ code: "DATA" });
  await expect(fit(-100)).resolves.toMatchObject({ steps: 1 });
  await trainer.dispose();
});

test("a negative token is no label, though a row of the table", async () => {
  const graph = bigram();
  const trainer = await openTrainer(graph, { loss: nextToken(), sites: findSites(graph) });
  const fit = trainer.fit([{ input_ids: tokens(-1) }]);
  await expect(fit).rejects.toMatchObject({ code: "DATA", message: expect.stringContaining("the id -1") });
  await trainer.dispose();
});
