import { findSites, writeModel } from "@dgate/onnx";
import { meanSquaredError, openTrainer, sgd } from "@dgate/onnx/train";
import { transformer } from "./networks.mjs";
import * as ort from "onnxruntime-node";
import { readFileSync, readdirSync, rmSync } from "node:fs";
const [, , train = "gates", updates = "host"] = process.argv;
const graph = transformer({ layers: 6 });
const shape = [8, 64, 384];
const count = shape.reduce((a, b) => a * b, 1);
const data = Float32Array.from({ length: count }, (_, i) => Math.sin(i));
async function profile(bytes, feeds, prefix) {
  const s = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, enableProfiling: !process.env.NOPROF, ...JSON.parse(process.env.EXTRA ?? "{}"), profileFilePrefix: "/tmp/prof/" + prefix, ...(process.env.OPT ? {graphOptimizationLevel: process.env.OPT}:{}), ...(process.env.DUMP ? {optimizedModelFilePath: "/tmp/prof/"+prefix+".onnx"} : {}) });
  for (let i = 0; i < 6; i++) await s.run(feeds);
  if (process.env.NOPROF) { const t=[]; for (let i=0;i<8;i++){const a=performance.now(); await s.run(feeds); t.push(performance.now()-a);} console.log(prefix, process.env.EXTRA, Math.min(...t).toFixed(1), t.sort((a,b)=>a-b)[4].toFixed(1)); return; }
  s.endProfiling();
  await s.release();
  const file = readdirSync("/tmp/prof").filter((f) => f.startsWith(prefix) && f.endsWith(".json")).sort().at(-1);
  const events = JSON.parse(readFileSync("/tmp/prof/" + file, "utf8"));
  rmSync("/tmp/prof/" + file);
  const sums = {};
  let total = 0;
  for (const e of events) if (e.cat === "Node" && e.name.endsWith("_kernel_time")) {
    const key = e.args.op_name + (process.env.SHAPES ? " " + JSON.stringify(e.args.input_type_shape) : "");
    sums[key] ??= [0, 0];
    sums[key][0] += e.dur / 6000; sums[key][1] += 1 / 6;
    total += e.dur / 6000;
  }
  console.log(prefix, total.toFixed(1), "ms");
  console.log(Object.entries(sums).sort((a, b) => b[1][0] - a[1][0]).slice(0, 25).map(([k, [ms, n]]) => `${ms.toFixed(2)} ms ${n.toFixed(0)}× ${k}`).join("\n"));
}
const T = (d, dims) => new ort.Tensor("float32", d, dims);
if (train === "forward") await profile(writeModel(graph), { x: T(data, shape) }, "forward");
else {
  const trainer = await openTrainer(graph, { sites: findSites(graph), train, updates, loss: meanSquaredError(), optimizer: sgd() });
  const feeds = { x: T(data, shape), targets: T(data, shape), "dgate.lambda": T(Float32Array.of(1e-4), []) };
  for (const p of trainer.parameters) feeds[p.name] = T(p.initial(), p.shape);
  if (updates === "graph") { feeds["dgate.learning_rate"] = T(Float32Array.of(1e-3), []); feeds["dgate.gate_rate"] = T(Float32Array.of(1e-3), []); }
  console.log(trainer.graph.nodes().length, "nodes");
  if (process.env.PRINT) console.log(String(trainer.graph).split("\n").slice(0, 400).join("\n"));
  await profile(writeModel(trainer.graph), feeds, train);
  await trainer.dispose();
}
