import { randomGenerator } from "@dgate/core";
import { findSites } from "@dgate/onnx";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Graph } from "../graph/graph.ts";
import { crossEntropy } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";

function mlp(): Graph {
  const net = new GraphBuilder(1, 17);
  const x = net.input("x", ["batch", 8]);
  const h = net.op("Relu", [net.gemm("fc1", x, [8, 16])]);
  const h2 = net.op("Relu", [net.gemm("fc2", h, [16, 12])]);
  return net.output(net.gemm("out", h2, [12, 3]));
}

function* batches(count: number, rows = 32) {
  const random = randomGenerator(7);
  for (let i = 0; i < count; i++) {
    const x = Float32Array.from({ length: rows * 8 }, () => random.normal());
    const labels = Array.from({ length: rows }, (_, r) => (x[r * 8]! > 0 ? 1 : x[r * 8 + 1]! > 0 ? 2 : 0));
    yield { x: { data: x, shape: [rows, 8] }, labels: { data: labels, shape: [rows] } };
  }
}

test("an MLP learns", async () => {
  const graph = mlp();
  for (const updates of ["host", "graph"] as const) {
    const trainer = await openTrainer(graph, {
      sites: findSites(graph),
      loss: crossEntropy(),
      depth: 3,
      lambda: 1e-2,
      train: "all",
      optimizer: sgd({ momentum: 0.9 }),
      learningRate: 0.05,
      updates,
    });
    const report = await trainer.fit(batches(300));
    console.log(
      trainer.updates,
      report.losses[0],
      report.losses.at(-1),
      report.penalties[0],
      report.penalties.at(-1),
      report.meanStepMs,
      report.memoryBytes,
    );
    const { graph: small, report: pruned, decisions } = await trainer.prune();
    console.log(
      pruned.removed,
      decisions.map((d) => d.near),
      small.nodes().length,
    );
    await trainer.dispose();
    expect(report.losses.at(-1)!).toBeLessThan(report.losses[0]!);
  }
});
