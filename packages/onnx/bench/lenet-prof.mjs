import { randomGenerator } from "@dgate/core";
import { findSites, Graph, tensorOf, writeModel } from "@dgate/onnx";
import { adam, crossEntropy, openTrainer, sgd } from "@dgate/onnx/train";
import * as ort from "onnxruntime-node";
import { readFileSync, readdirSync, rmSync } from "node:fs";
const random = randomGenerator(1);
const graph = new Graph("lenet-300-100", [["", 17]]);
const weight = (name, shape, scale) => graph.addInitializer(name, tensorOf("float32", shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => scale * random.normal())));
let x = graph.addInput("x", { dtype: "float32", shape: ["batch", 784] });
for (const [i, [a, b]] of [[784, 300], [300, 100], [100, 10]].entries()) {
  [x] = graph.addNode({ op: "Gemm", inputs: [x, weight(`fc${i + 1}.weight`, [a, b], Math.sqrt(2 / a)), weight(`fc${i + 1}.bias`, [b], 0)], name: `fc${i + 1}` }).outputs;
  if (i < 2) [x] = graph.addNode({ op: "Relu", inputs: [x], name: `relu${i}` }).outputs;
}
graph.addOutput(x);
const updates = process.argv[2] ?? "graph";
const trainer = await openTrainer(graph, { sites: findSites(graph), depth: 3, train: "all", loss: crossEntropy(), optimizer: process.env.ADAM ? adam() : sgd(process.env.MOM ? { momentum: 0.9 } : {}), updates });
if (process.env.PRINT) console.log(String(trainer.graph));
console.log(trainer.graph.nodes().length, "nodes");
const batch = { x: { data: Float32Array.from({ length: 128 * 784 }, () => random.next()), shape: [128, 784] }, labels: { data: BigInt64Array.from({ length: 128 }, (_, i) => BigInt(i % 10)), shape: [128] } };
for (let i = 0; i < 20; i++) await trainer.fit([batch]);
const many = function* () { for (let i = 0; i < 300; i++) yield batch; };
const c = process.cpuUsage(); const t0 = performance.now();
const ms = []; const r = await trainer.fit(many(), { onProgress: (p) => ms.push(p.stepMs) }); ms.sort((a, b) => a - b); console.log("step min", ms[0].toFixed(2), "p10", ms[30].toFixed(2));
const d = process.cpuUsage(c);
console.log("mean step wall", r.meanStepMs.toFixed(2), "cpu a step", ((d.user + d.system) / 300000).toFixed(2), "sys", (d.system / 300000).toFixed(2));
const T = (data, dims) => new ort.Tensor("float32", data, dims);
const feeds = { x: T(batch.x.data, [128, 784]), labels: new ort.Tensor("int64", batch.labels.data, [128]), "dgate.lambda": T(Float32Array.of(1e-4), []) };
for (const p of trainer.parameters) feeds[p.name] = T(p.initial(), p.shape);
if (updates === "graph") for (const n of ["dgate.learning_rate", "dgate.gate_rate"]) feeds[n] = T(Float32Array.of(1e-3), []);
for (const prof of [false, true]) {
  const s = await ort.InferenceSession.create(writeModel(trainer.graph), { intraOpNumThreads: 1, interOpNumThreads: 1, enableProfiling: prof, profileFilePrefix: "/tmp/prof/lenet", ...JSON.parse(process.env.EXTRA ?? "{}") });
  for (let i = 0; i < 20; i++) await s.run(feeds);
  const a = process.cpuUsage();
  const times = [];
  for (let i = 0; i < 300; i++) { const t = performance.now(); await s.run(feeds); times.push(performance.now() - t); }
  const u = process.cpuUsage(a);
  console.log("bare run", prof ? "(profiled)" : "", "min", Math.min(...times).toFixed(2), "cpu", ((u.user + u.system) / 300000).toFixed(2));
  if (prof) {
    s.endProfiling();
    const file = readdirSync("/tmp/prof").filter((f) => f.startsWith("lenet") && f.endsWith(".json")).sort().at(-1);
    const events = JSON.parse(readFileSync("/tmp/prof/" + file, "utf8")); rmSync("/tmp/prof/" + file);
    const by = {};
    for (const e of events) if (e.cat === "Node" && e.name.endsWith("_kernel_time")) { const k = e.args.op_name + " " + JSON.stringify(e.args.input_type_shape).slice(0, 90); (by[k] ??= []).push(e.dur); }
    const rows = Object.entries(by).map(([k, v]) => { v.sort((p, q) => p - q); const n = v.length / 320; return [k, v[v.length >> 1] * n, n]; }).sort((p, q) => q[1] - p[1]);
    console.log(rows.slice(0, 40).map(([k, us, n]) => `${us.toFixed(0)} us ${n.toFixed(1)}× ${k}`).join("\n")); console.log("total us", rows.reduce((t, [, us]) => t + us, 0).toFixed(0));
  }
  await s.release();
}
await trainer.dispose();
