// What quantized weights are worth: bytes, the time that quantizing takes, and latency against the float model, interleaved in
// one run. A random encoder of the size of MiniLM (6 layers of width 384, 30,522 tokens) on 128 tokens, and one token as a
// decoder computes it. `pnpm bench quantize`, or with DGATE_RUNTIME=node on onnxruntime-node.
import { formatTable } from "@dgate/core";
import { openRunner, quantizeBlocks, quantizeDynamic, writeModel } from "@dgate/onnx";
import { transformer } from "./networks.mjs";

const runtime = process.env.DGATE_RUNTIME === "node" ? "node" : "web";
const rounds = Number(process.env.DGATE_ROUNDS ?? 15);

const forms = {
  float32: (graph) => graph,
  int8: (graph) => quantizeDynamic(graph).graph,
  "int8, a scale per weight": (graph) => quantizeDynamic(graph, { perChannel: false }).graph,
  uint8: (graph) => quantizeDynamic(graph, { weightType: "uint8" }).graph,
  "int8, 7 bits": (graph) => quantizeDynamic(graph, { reduceRange: true }).graph,
  q4: (graph) => quantizeBlocks(graph).graph,
  "q4, tables in 8 bits": (graph) => quantizeBlocks(graph, { operators: ["MatMul", "Gather"] }).graph,
  "q4 on 8-bit data": (graph) => quantizeBlocks(graph, { accuracyLevel: 4 }).graph,
  "8 bits in blocks": (graph) => quantizeBlocks(graph, { bits: 8 }).graph,
  "8 bits in blocks on 8-bit data": (graph) => quantizeBlocks(graph, { bits: 8, accuracyLevel: 4 }).graph,
};

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The fastest of three: the first one compiles. */
function timed(make, graph) {
  const times = [];
  let made;
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    made = make(graph);
    times.push(performance.now() - start);
  }
  return { graph: made, ms: Math.min(...times) };
}

const rows = [];
for (const positions of [128, 1]) {
  const graph = transformer({ layers: 6, width: 384, positions, vocabulary: 30_522 });
  const models = Object.entries(forms).map(([label, make]) => ({ label, ...timed(make, graph) }));
  const runners = [];
  for (const model of models) {
    const bytes = writeModel(model.graph);
    model.bytes = bytes.length;
    runners.push(await openRunner(bytes, { runtime }));
  }
  const x = { data: Array.from({ length: positions }, (_, i) => (i * 7919) % 30_522), shape: [1, positions] };
  const times = runners.map(() => []);
  for (let round = -3; round < rounds; round++) {
    for (const [i, runner] of runners.entries()) {
      const start = performance.now();
      await runner.run({ x });
      if (round >= 0) times[i].push(performance.now() - start);
    }
  }
  for (const runner of runners) await runner.dispose();
  for (const [i, { label, bytes, ms }] of models.entries()) {
    // Ratios are taken round by round: both members of a pair saw the same moment of the machine.
    const speedup = median(times[0].map((time, round) => time / times[i][round]));
    const made = i === 0 ? "" : ms.toFixed(0);
    const mb = (bytes / 1e6).toFixed(1);
    rows.push([
      `${positions} tokens, ${label}`,
      mb,
      made,
      median(times[i]).toFixed(2),
      `${speedup.toFixed(2)}×`,
    ]);
  }
}
console.log(`onnxruntime-${runtime}, one thread, ${rounds} interleaved rounds, medians`);
console.log(formatTable(["model", "MB", "quantizing ms", "run ms", "faster"], rows));
