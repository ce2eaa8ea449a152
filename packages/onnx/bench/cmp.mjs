import { findSites, writeModel } from "@dgate/onnx";
import { meanSquaredError, openTrainer, sgd } from "@dgate/onnx/train";
import { transformer } from "./networks.mjs";
import * as ort from "onnxruntime-node";
const graph = transformer({ layers: 6 });
const shape = [8, 64, 384];
const count = shape.reduce((a, b) => a * b, 1);
const data = Float32Array.from({ length: count }, (_, i) => Math.sin(i));
const T = (d, dims) => new ort.Tensor("float32", d, dims);
const open = (bytes, o = {}) => ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, interOpNumThreads: 1, ...o });
const items = [["forward", await open(writeModel(graph)), { x: T(data, shape) }]];
for (const train of (process.argv[2] ?? "gates,all").split(",")) {
  const trainer = await openTrainer(graph, { sites: findSites(graph), train, updates: "host", loss: meanSquaredError(), optimizer: sgd() });
  const feeds = { x: T(data, shape), targets: T(data, shape), "dgate.lambda": T(Float32Array.of(1e-4), []) };
  for (const p of trainer.parameters) feeds[p.name] = T(p.initial(), p.shape);
  const bytes = writeModel(trainer.graph);
  for (const o of JSON.parse(process.argv[3] ?? "[{}]")) items.push([train + JSON.stringify(o), await open(bytes, o), feeds, []]);
}
const sys = []; const pre = []; if (process.env.PRE) for (const [i, [, s, f]] of items.entries()) { const o = await s.run(f); pre[i] = Object.fromEntries(Object.entries(o).map(([k, v]) => [k, T(new Float32Array(v.data.length), v.dims)])); }
const times = items.map(() => []);
for (let r = -2; r < 12; r++) for (const [i, [, s, f]] of items.entries()) { const a = process.cpuUsage(); await (pre[i] ? s.run(f, pre[i]) : s.run(f)); const d = process.cpuUsage(a); if (r >= 0) {times[i].push((d.user + d.system) / 1000); sys[i] = (sys[i] ?? 0) + d.system / 12000}; }
const med = (v) => v.toSorted((a, b) => a - b)[v.length >> 1];
for (const [i, [n]] of items.entries()) console.log(n.padEnd(60), "min", Math.min(...times[i]).toFixed(1), "med", med(times[i]).toFixed(1), "ratio min", (Math.min(...times[i]) / Math.min(...times[0])).toFixed(2), "sys", sys[i].toFixed(1), "paired", med(times[i].map((t, r) => t / times[0][r])).toFixed(2));
