// What fused operators are worth, in dense and in pruned encoders: latency of bert-mini (a real file, if ../shared/data or
// DGATE_DATA has it) and of an encoder of MiniLM's size with random weights, as onnxruntime fuses it when it loads it and as `fuse`
// writes it. Half of the heads of every layer go. Interleaved rounds, ratios round by round. `pnpm bench fused-attention`.
// Found with onnxruntime-node 1.30, one thread, MiniLM size: MultiHeadAttention is as fast as the separate nodes (0.99 to 1.02 times, dense and
// pruned), Attention alike (0.97 to 1.02), SkipLayerNormalization slower than Add and LayerNormalization (0.87 to 0.90); biases as an input of
// MultiHeadAttention gain nothing over Adds before it. onnxruntime's own fusion of attention does not recognise the form of today's
// exporters: dense models have none to lose.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { formatTable } from "@dgate/core";
import { findSites, fuse, openRunner, planFrom, prune, readModel, writeModel } from "@dgate/onnx";
import { importTypeScript } from "./import-typescript.mjs";

const data = process.env.DGATE_DATA ?? join(import.meta.dirname, "../../../../shared/data");
const realFile = join(data, "models/bert-mini-sst2/onnx/model.onnx");
const rounds = Number(process.env.DGATE_ROUNDS ?? 30);
const warmUp = 4;
const targets = ["cpu", "wasm"].map((provider) => ({ provider, version: "1.30.0" }));
/** The web runtime fixes its threads at the first model of a process: each setting is a process of its own. */
const settings = ["node 1", "node 2", "web 1", "web 2"];

const [runtime, threads] = (process.env.DGATE_SETTING ?? "").split(" ");
if (!runtime) {
  for (const setting of process.env.DGATE_SETTINGS?.split(",") ?? settings) {
    const env = { ...process.env, DGATE_SETTING: setting };
    const { status } = spawnSync(process.execPath, [...process.execArgv, import.meta.filename], {
      env,
      stdio: "inherit",
    });
    if (status !== 0) process.exit(status ?? 1);
  }
  process.exit(0);
}

const { bert } = await importTypeScript(join(import.meta.dirname, "../test/models/bert.ts"));

const encoder = () =>
  bert({ layers: 6, heads: 12, headDim: 32, hidden: 1536, vocabulary: 1000, positions: 128, head: "none" })
    .graph;
const networks = [
  { name: "MiniLM size", graph: encoder(), sequence: 128 },
  ...(existsSync(realFile)
    ? [{ name: "bert-mini", graph: readModel(readFileSync(realFile)), sequence: 64 }]
    : []),
];

/** Half of the heads, for each layer those with the largest weights. */
const halved = (graph) => prune(graph, planFrom(findSites(graph), { keep: 0.5, sites: ["heads"] })).graph;

const variantsOf = (graph) => {
  const pruned = halved(graph);
  const forms = {
    MultiHeadAttention: { targets },
    "MultiHeadAttention for 1.21 too": {},
    Attention: { targets, attention: "Attention" },
    "sums with normalisations only": { targets, attention: false, gelus: false, sums: true },
  };
  return [
    ["dense", graph],
    ...Object.entries(forms).map(([label, options]) => [`dense, ${label}`, fuse(graph, options).graph]),
    ["pruned", pruned],
    ...Object.entries(forms).map(([label, options]) => [`pruned, ${label}`, fuse(pruned, options).graph]),
  ];
};

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

function feedsOf(graph, sequence) {
  const int64 = (at) => BigInt64Array.from({ length: sequence }, (_, i) => BigInt(at(i)));
  const contents = { input_ids: (i) => (i * 37) % 900, attention_mask: () => 1, token_type_ids: () => 0 };
  return Object.fromEntries(
    graph.requiredInputs.map(({ name }) => [name, { data: int64(contents[name]), shape: [1, sequence] }]),
  );
}

const rows = [];
for (const { name, graph, sequence } of networks) {
  const variants = variantsOf(graph);
  const runners = [];
  for (const [, model] of variants)
    runners.push(await openRunner(writeModel(model), { runtime, threads: Number(threads) }));
  const feeds = feedsOf(graph, sequence);
  const times = runners.map(() => []);
  for (let round = -warmUp; round < rounds; round++) {
    for (const [i, runner] of runners.entries()) {
      const start = performance.now();
      await runner.run(feeds);
      if (round >= 0) times[i].push(performance.now() - start);
    }
  }
  for (const runner of runners) await runner.dispose();
  for (const [i, [label]] of variants.entries()) {
    const ratio = (to) => `${median(times[to].map((time, round) => time / times[i][round])).toFixed(2)}×`;
    const unfused = variants.findIndex(([other]) => other === label.split(",")[0]);
    rows.push([
      `${name}, ${sequence} tokens, ${label}`,
      median(times[i]).toFixed(2),
      ratio(0),
      ratio(unfused),
    ]);
  }
}
console.log(`onnxruntime-${runtime}, ${threads} thread(s), ${rounds} interleaved rounds, medians, batch 1`);
console.log(formatTable(["model", "ms", "× dense", "× un-fused"], rows));
process.exit(0);
