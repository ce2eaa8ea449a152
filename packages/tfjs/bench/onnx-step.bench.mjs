// One training step of LeNet-300-100, batch 128: gated (D = 3) and trained on onnxruntime by @dgate/onnx/train, against an ungated one on
// tfjs's wasm backend with the improved kernels. They take turns within one run. Prints medians, minima and ratios; the paired ratio
// compares neighbouring turns, and CPU time what other work on the machine hardly moves.
import { fork } from "node:child_process";
import { once } from "node:events";
import { randomGenerator } from "@dgate/core";
import { findSites, Graph, int, tensorOf } from "@dgate/onnx";
import { crossEntropy, openTrainer, sgd } from "@dgate/onnx/train";
import { median } from "./networks.mjs";

const batch = 128;
const rounds = 15;
const stepsPerRound = 10;

/** 784 → 300 → 100 → 10 with ReLU, logits at the end. */
function lenet300() {
  const random = randomGenerator(1);
  const graph = new Graph("lenet-300-100", [["", 17]]);
  const weight = (name, shape, scale) =>
    graph.addInitializer(
      name,
      tensorOf(
        "float32",
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => scale * random.normal()),
      ),
    );
  let x = graph.addInput("x", { dtype: "float32", shape: ["batch", 784] });
  for (const [i, [inputs, outputs]] of [
    [784, 300],
    [300, 100],
    [100, 10],
  ].entries()) {
    const name = `fc${i + 1}`;
    const parameters = [
      weight(`${name}.weight`, [inputs, outputs], Math.sqrt(2 / inputs)),
      weight(`${name}.bias`, [outputs], 0),
    ];
    [x] = graph.addNode({
      op: "Gemm",
      inputs: [x, ...parameters],
      name,
      attributes: { transB: int(0) },
    }).outputs;
    if (i < 2) [x] = graph.addNode({ op: "Relu", inputs: [x], name: `relu${i + 1}` }).outputs;
  }
  graph.addOutput(x);
  return graph;
}

/** A batch that can be learnt: every class is a pattern under noise. */
function randomBatch() {
  const random = randomGenerator(2);
  const patterns = Float32Array.from({ length: 7840 }, () => random.next());
  const labels = Int32Array.from({ length: batch }, (_, i) => i % 10);
  const data = Float32Array.from({ length: batch * 784 }, (_, i) => {
    return (patterns[labels[Math.floor(i / 784)] * 784 + (i % 784)] + random.next()) / 2;
  });
  return { x: { data, shape: [batch, 784] }, labels: { data: labels, shape: [batch] } };
}

const graph = lenet300();
const data = randomBatch();
const contestants = [];
for (const [provider, updates, threads] of [
  ["cpu", "graph", 2],
  ["cpu", "graph", 1],
  ["cpu", "host", 1],
  ["wasm", "graph", 1],
  ["wasm", "host", 1],
]) {
  const trainer = await openTrainer(graph, {
    sites: findSites(graph),
    depth: 3,
    lambda: 1e-4,
    train: "all",
    loss: crossEntropy(),
    optimizer: sgd(),
    learningRate: 0.05,
    provider,
    threads,
    updates,
  });
  contestants.push({
    label: `onnxruntime ${provider}, ${threads} thread${threads > 1 ? "s" : ""}, updates in ${updates}`,
    async run(steps) {
      const results = [];
      let start = performance.now();
      const onProgress = ({ loss }) => {
        results.push({ ms: performance.now() - start, loss });
        start = performance.now();
      };
      await trainer.fit(Array(steps).fill(data), { onProgress });
      return results;
    },
    close: () => trainer.dispose(),
  });
}
const worker = fork(
  new URL("wasm-step-worker.mjs", import.meta.url),
  ["improved", "lenet300", "sgd", String(batch)],
  { silent: true },
);
contestants.push({
  label: "tfjs wasm, improved kernels",
  async run(steps) {
    worker.send(steps);
    const [{ results, error }] = await once(worker, "message");
    if (error) throw new Error(error);
    return results;
  },
  close: () => worker.kill(),
});

const times = contestants.map(() => []);
const losses = contestants.map(() => []);
for (let round = -1; round < rounds; round++) {
  for (const [i, contestant] of contestants.entries()) {
    const results = await contestant.run(stepsPerRound);
    losses[i].push(...results.map(({ loss }) => loss));
    if (round >= 0) times[i].push(results.map(({ ms }) => ms));
  }
}
const reference = times.at(-1);
console.log(`LeNet-300-100, batch ${batch}, SGD: ms a step`);
for (const [i, { label }] of contestants.entries()) {
  const all = times[i].flat();
  const paired = median(times[i].map((turn, round) => Math.min(...reference[round]) / Math.min(...turn)));
  console.log(
    `  ${label.padEnd(46)} median ${median(all).toFixed(2).padStart(6)}  min ${Math.min(...all)
      .toFixed(2)
      .padStart(6)}` +
      `  times faster than tfjs ${paired.toFixed(1)}  loss ${losses[i][0].toFixed(3)} → ${losses[i].at(-1).toFixed(3)}`,
  );
}
for (const contestant of contestants) await contestant.close();
