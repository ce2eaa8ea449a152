import { findSites, inferShapes } from "@dgate/onnx";
import { meanSquaredError, openTrainer, sgd } from "@dgate/onnx/train";
import { transformer } from "./networks.mjs";
const train = process.argv[2] ?? "all";
const graph = transformer({ layers: 6 });
const trainer = await openTrainer(graph, { sites: findSites(graph), train, updates: "host", loss: meanSquaredError(), optimizer: sgd() });
const g = trainer.graph;
const { types } = inferShapes(g, { dims: { batch: 8 } });
const size = (v) => v ? (types.get(v)?.shape ?? []).reduce((a, b) => a * b, 4) : 0;
const sums = new Map();
for (const n of g.nodes()) {
  if (["MatMul", "Gemm", "Reshape", "Shape"].includes(n.op)) continue;
  const key = n.op + " " + n.inputs.map((v) => JSON.stringify(types.get(v)?.shape)).join(" ");
  const b = [...n.inputs, ...n.outputs].reduce((s, v) => s + size(v), 0) / 1e6;
  const s = sums.get(key) ?? [0, 0]; sums.set(key, [s[0] + b, s[1] + 1]);
}
console.log([...sums].sort((a, b) => b[1][0] - a[1][0]).slice(0, 34).map(([k, [b, n]]) => `${b.toFixed(0)} MB ${n}× ${k}`).join("\n"));
console.log("total", [...sums.values()].reduce((s, [b]) => s + b, 0).toFixed(0));
await trainer.dispose();
