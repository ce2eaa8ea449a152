// Reading and writing a large model: time, and memory beside the file itself.
// `pnpm bench read-write`, or, after a build, `node packages/onnx/bench/read-write.bench.mjs [MODEL.onnx …]`.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { Graph, readModel, tensorOf, writeModel } from "@dgate/onnx";

/** 96 dense layers of 488 × 488 float32 weights: 91.5 MB. */
const layers = 96;
const width = 488;
const repeats = 10;

function largeModel() {
  const graph = new Graph("large");
  let value = graph.addInput("x", { dtype: "float32", shape: ["batch", width] });
  const weights = Float32Array.from({ length: width * width }, (_, i) => Math.sin(i) / width);
  for (let i = 0; i < layers; i++) {
    const weight = graph.addInitializer(`layer.${i}.weight`, tensorOf("float32", [width, width], weights));
    value = graph.addNode({ op: "MatMul", inputs: [value, weight], name: `layer.${i}` }).outputs[0];
  }
  graph.addOutput(value);
  return writeModel(graph);
}

/** First and fastest of some runs, in milliseconds. */
function time(run) {
  const times = Array.from({ length: repeats }, () => {
    const before = performance.now();
    run();
    return performance.now() - before;
  });
  return `first ${times[0].toFixed(1)} ms, fastest ${Math.min(...times).toFixed(1)} ms`;
}

function measure(name, bytes) {
  const reading = time(() => readModel(bytes));
  const graph = readModel(bytes);
  const writing = time(() => writeModel(graph));
  console.log(`${name}: ${(bytes.length / 1e6).toFixed(1)} MB, ${graph.nodes().length} nodes`);
  console.log(`  read   ${reading}\n  write  ${writing}`);
}

measure("dense layers", largeModel());
for (const path of process.argv.slice(2)) measure(basename(path), readFileSync(path));
