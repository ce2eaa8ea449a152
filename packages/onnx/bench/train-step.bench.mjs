// What a training step costs beside a forward pass of the same model: encoder of 6 layers, 384 wide, batch 8 of 64 positions; with all
// weights, with the groups and their gates, and with gates alone. `pnpm bench train-step`, or with DGATE_PROVIDER=wasm on onnxruntime-web.
import { formatTable } from "@dgate/core";
import { findSites, openRunner } from "@dgate/onnx";
import { meanSquaredError, openTrainer, sgd } from "@dgate/onnx/train";
import { transformer } from "./networks.mjs";

const provider = process.env.DGATE_PROVIDER ?? "cpu";
const rounds = Number(process.env.DGATE_ROUNDS ?? 9);
const threads = Number(process.env.DGATE_THREADS ?? 1);
const shape = [8, 64, 384];
const count = shape.reduce((a, b) => a * b, 1);
const numbers = (seed) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed * i));

const graph = transformer({ layers: 6 });
const sites = findSites(graph);
const batch = { x: { data: numbers(1), shape }, targets: { data: numbers(2), shape } };
const forward = await openRunner(graph, { runtime: provider === "cpu" ? "node" : "web", threads });

const cases = process.env.DGATE_CASES
  ? JSON.parse(process.env.DGATE_CASES)
  : [
      ["all", "host"],
      ["all", "graph"],
      ["groups", "graph"],
      ["gates", "graph"],
    ];
const trainers = [];
for (const [train, updates] of cases) {
  const trainer = await openTrainer(graph, {
    sites,
    train,
    updates,
    provider,
    threads,
    lambda: 1e-4,
    loss: meanSquaredError(),
    optimizer: sgd(),
    learningRate: 1e-3,
  });
  trainers.push({ label: `${train}, updates in ${updates}`, trainer, times: [] });
}

const forwardTimes = [];
for (let round = -2; round < rounds; round++) {
  const start = performance.now();
  await forward.run({ x: batch.x });
  if (round >= 0) forwardTimes.push(performance.now() - start);
  for (const { trainer, times } of trainers) {
    const { meanStepMs } = await trainer.fit([batch]);
    if (round >= 0) times.push(meanStepMs);
  }
}
await forward.dispose();

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const rows = trainers.map(({ label, trainer, times }) => {
  const ratio = median(times.map((time, round) => time / forwardTimes[round]));
  return [label, String(trainer.parameters.length), `${ratio.toFixed(2)}×`, median(times).toFixed(0)];
});
for (const { trainer } of trainers) await trainer.dispose();
console.log(
  `${provider}, ${threads} thread, ${rounds} interleaved rounds, medians; a forward pass takes ${median(forwardTimes).toFixed(0)} ms`,
);
console.log(formatTable(["trained", "arrays", "of a forward pass", "ms a step"], rows));
