import { join } from "node:path";
import { findSites } from "@dgate/onnx";
import { crossEntropy, openTrainer, sgd } from "@dgate/onnx/train";
import { importTypeScript } from "./import-typescript.mjs";
const { digitBatches, lenet, readMnist, firstDigits } = await importTypeScript(join(import.meta.dirname, "../test/mnist.ts"));
const data = readMnist(join(import.meta.dirname, "../../../../shared/data"));
const graph = lenet(1);
const train = firstDigits(data.train, 12800);
for (const updates of ["host", "graph"]) {
  const trainer = await openTrainer(graph, { loss: crossEntropy(), sites: findSites(graph), gate: ["neurons"], depth: 3, lambda: 1e-3, train: "all", optimizer: sgd({ momentum: 0.9 }), learningRate: 0.05, updates });
  const c = process.cpuUsage(); const t = performance.now();
  const { meanStepMs, steps } = await trainer.fit(digitBatches(train, { batch: 128, epochs: 5, seed: 1 }));
  const u = process.cpuUsage(c);
  console.log(updates, steps, "wall", ((performance.now() - t) / steps).toFixed(2), "step", meanStepMs.toFixed(2), "cpu", ((u.user + u.system) / 1000 / steps).toFixed(2));
  if (updates === "host") console.log(String(trainer.graph));
  await trainer.dispose();
}
