import { findSites, insertGates, trainingForm, gradients } from "@dgate/onnx";
import { transformer } from "./networks.mjs";
import { Graph } from "@dgate/onnx";
import { trainingGraph } from "../src/train/training-graph.ts";
import { meanSquaredError, sgd, adam } from "@dgate/onnx/train";
const graph = transformer({ layers: 12, width: 768 });
console.log(graph.nodes().length, "nodes", graph.initializers.reduce((s, v) => s + v.data.bytes.length, 0) / 1e6, "MB");
const cpu = (label, f) => { const a = process.cpuUsage(); const t = performance.now(); const r = f(); const d = process.cpuUsage(a); console.log(label, (performance.now() - t).toFixed(0), "ms wall", ((d.user + d.system) / 1000).toFixed(0), "ms cpu"); return r; };
for (let i = 0; i < 3; i++) {
  const sites = cpu("findSites", () => findSites(graph));
  const gated = cpu("insertGates", () => insertGates(graph, sites, { depth: 3 }));
  cpu("trainingForm", () => trainingForm(gated));
  const t = cpu("trainingGraph", () => trainingGraph(gated, { loss: meanSquaredError(), train: "all", groupWeights: "none", updates: "host", optimizer: adam(), clipNorm: undefined }));
  console.log(t.graph.nodes().length);
}
