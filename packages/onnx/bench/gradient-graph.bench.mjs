// How long it takes to write the backward pass of a transformer of BERT base's size: 12 layers, 768 wide, gated with D = 3, with respect to every weight
// and gate. `pnpm bench gradient-graph`. CPU time, which other work on the machine hardly moves.
import { formatTable } from "@dgate/core";
import { findSites, gradients, insertGates } from "@dgate/onnx";
import { transformer } from "./networks.mjs";

const rounds = 5;

/** The mean of the squared outputs as the loss. */
function withLoss(graph) {
  const [output] = graph.outputs;
  const [square] = graph.addNode({ op: "Mul", inputs: [output, output] }).outputs;
  const [loss] = graph.addNode({
    op: "ReduceMean",
    inputs: [square],
    attributes: { keepdims: { kind: "int", value: 0 } },
  }).outputs;
  graph.rename(loss, "loss");
  graph.addOutput(loss);
  return graph;
}

const dense = withLoss(transformer({ layers: 12, width: 768 }));
const gated = insertGates(dense, findSites(dense), { depth: 3 });
const wrt = gated.initializers
  .filter(({ name }) => /weight|bias|scale$|gate\.\d$/.test(name) && !name.includes("constant"))
  .map(({ name }) => name);
const times = [];
let backward;
for (let round = 0; round < rounds; round++) {
  const start = process.cpuUsage();
  backward = gradients(gated, { loss: "loss", wrt: wrt.filter((name) => name !== "scale") });
  const { user, system } = process.cpuUsage(start);
  times.push((user + system) / 1000);
}
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
console.log(
  formatTable(
    ["", ""],
    [
      ["nodes of the gated model", String(gated.nodes().length)],
      ["weights and gates", String(backward.outputs.length - 1)],
      ["nodes with the backward pass", String(backward.nodes().length)],
      ["ms, first time", times[0].toFixed(0)],
      ["ms, median", median(times).toFixed(0)],
    ],
  ),
);
