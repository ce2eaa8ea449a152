// What removing groups is worth: latency of pruned and dense models on onnxruntime-web (WASM, one thread) against their ratio
// of multiply–adds, interleaved in one run. `pnpm bench pruned-latency`, or with DGATE_RUNTIME=node on onnxruntime-node.
import { formatTable } from "@dgate/core";
import { countCosts, findSites, openRunner, planFrom, prune, writeModel } from "@dgate/onnx";
import { cnn, mlp, transformer } from "./networks.mjs";

const runtime = process.env.DGATE_RUNTIME === "node" ? "node" : "web";
const rounds = 25;
const networks = [
  { name: "MLP", graph: mlp(), batch: 64 },
  { name: "CNN", graph: cnn(), batch: 1 },
  { name: "transformer", graph: transformer(), batch: 1 },
];

/** Filters that stay are not a round number by chance: alignment is what makes them one. */
const settings = [0.75, 0.5, 0.25].flatMap((keep) => [
  { keep: keep - 0.02, align: undefined },
  { keep, align: 8 },
]);

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const rows = [];
for (const { name, graph, batch } of networks) {
  const dense = countCosts(graph, { batch }).macs;
  const sites = findSites(graph);
  const models = [{ label: "dense", macs: dense, graph }];
  for (const { keep, align } of settings) {
    const plan = planFrom(sites, { keep, ...(align && { align }) });
    const pruned = prune(graph, plan).graph;
    const label = align ? `${keep}, multiples of ${align}` : keep.toFixed(2);
    models.push({ label, macs: countCosts(pruned, { batch }).macs, graph: pruned });
  }
  const runners = [];
  for (const model of models) runners.push(await openRunner(writeModel(model.graph), { runtime }));
  const shape = graph.inputs[0].type.shape.map((dim) => (dim === "batch" ? batch : dim));
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
  const times = runners.map(() => []);
  for (let round = -3; round < rounds; round++) {
    for (const [i, runner] of runners.entries()) {
      const start = performance.now();
      await runner.run({ x: { data, shape } });
      if (round >= 0) times[i].push(performance.now() - start);
    }
  }
  for (const runner of runners) await runner.dispose();
  // Ratios are taken round by round: both members of a pair saw the same moment of the machine.
  for (const [i, { label, macs }] of models.entries()) {
    const speedup = median(times[0].map((time, round) => time / times[i][round]));
    rows.push([
      `${name}, ${label}`,
      `${(dense / macs).toFixed(2)}×`,
      `${speedup.toFixed(2)}×`,
      median([...times[i]]).toFixed(2),
    ]);
  }
}
console.log(`onnxruntime-${runtime}, one thread, ${rounds} interleaved rounds, medians`);
console.log(formatTable(["model, kept", "fewer MACs", "faster", "ms"], rows));
