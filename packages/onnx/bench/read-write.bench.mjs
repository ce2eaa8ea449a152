// Reading, pruning by half and writing a model of 91.5 MB: time, and peak memory beyond the process's own. Reading and writing
// are compared with Python's onnx where Debian's python3-onnx is installed. Each run is a process of its own; runs are interleaved.
// `pnpm bench read-write`, or, after a build, `node packages/onnx/bench/read-write.bench.mjs [MODEL.onnx …]`.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findSites, float, Graph, planFrom, prune, tensorOf } from "@dgate/onnx";
import { readModelFile, writeModelFile } from "@dgate/onnx/node";

/** 96 dense layers of 488 × 488 float32 weights: 91.5 MB. */
const layers = 96;
const width = 488;
const rounds = 5;

function largeModel() {
  const graph = new Graph("large");
  let value = graph.addInput("x", { dtype: "float32", shape: ["batch", width] });
  const weights = Float32Array.from({ length: width * width }, (_, i) => Math.sin(i) / width);
  for (let i = 0; i < layers; i++) {
    const weight = graph.addInitializer(`layer.${i}.weight`, tensorOf("float32", [width, width], weights));
    const product = graph.addNode({ op: "MatMul", inputs: [value, weight], name: `layer.${i}` }).outputs[0];
    const attributes = { alpha: float(0.1) };
    value = graph.addNode({ op: "LeakyRelu", inputs: [product], attributes }).outputs[0];
  }
  graph.addOutput(value);
  return graph;
}

/**
 * Largest memory of this process so far, in bytes. A new process takes its maxRSS over from the one that started it; Linux tells
 * that of the program itself.
 */
function peakMemory() {
  const status = "/proc/self/status";
  if (!existsSync(status)) return process.resourceUsage().maxRSS * 1024;
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync(status, "latin1"))[1]) * 1024;
}

/** In a fresh process: one reading, perhaps pruning, and writing. Prints milliseconds, and the peak in bytes. */
async function measureHere(task, file, out) {
  const before = peakMemory();
  const times = [performance.now()];
  const lap = () => times.push(performance.now());
  if (task === "raw") {
    const contents = parts(file).map((path) => readFileSync(path));
    lap();
    return print({ read: times[1] - times[0], peak: peakMemory() - before, files: contents.length });
  }
  let graph = await readModelFile(file);
  lap();
  if (task === "prune") ({ graph } = prune(graph, planFrom(findSites(graph), { sparsity: 0.5 })));
  lap();
  await writeModelFile(out, graph);
  lap();
  const [read, pruned, write] = times.slice(1).map((time, i) => time - times[i]);
  print({ read, prune: pruned, write, peak: peakMemory() - before });
}

const print = (document) => console.log(JSON.stringify(document));

/** The file, and that of its external data. */
const parts = (file) => [file, `${file}_data`].filter((path) => existsSync(path));

const pythonScript = `
import sys, time, json, re, onnx
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
before, start = peak(), time.perf_counter()
model = onnx.load(sys.argv[1])
read = time.perf_counter()
onnx.save(model, sys.argv[2])
end = time.perf_counter()
print(json.dumps({"read": 1000 * (read - start), "write": 1000 * (end - read), "peak": peak() - before}))
`;

/** A Python that has onnx: Debian's package belongs to the system's one, which is not always the first. */
function findPython() {
  const candidates = [process.env.DGATE_PYTHON, "python3", "/usr/bin/python3"];
  return candidates.find((name) => name && spawnSync(name, ["-c", "import onnx"]).status === 0);
}

async function measureAll(files) {
  const folder = mkdtempSync(join(tmpdir(), "dgate-bench-"));
  try {
    if (files.length === 0) {
      const graph = largeModel();
      files = [join(folder, "one-file.onnx"), join(folder, "external-data.onnx")];
      await writeModelFile(files[0], graph);
      await writeModelFile(files[1], graph, { externalData: true });
    }
    const python = findPython();
    if (!python)
      console.log("no comparison: no Python with onnx (apt-get install python3-onnx, or DGATE_PYTHON)");
    for (const file of files) measureFile(file, join(folder, "out.onnx"), python);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function measureFile(file, out, python) {
  const script = fileURLToPath(import.meta.url);
  const tasks = {
    "bytes alone": () => [process.execPath, script, "--child", "raw", file, out],
    "read, write": () => [process.execPath, script, "--child", "copy", file, out],
    "read, prune 50 %, write": () => [process.execPath, script, "--child", "prune", file, out],
    ...(python && { "Python onnx: read, write": () => [python, "-c", pythonScript, file, out] }),
  };
  const results = new Map(Object.keys(tasks).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, command] of Object.entries(tasks)) {
      const [program, ...args] = command();
      const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`${name} of ${file} failed: ${stderr}`);
      results.get(name).push(JSON.parse(stdout));
    }
  }
  const size = parts(file).reduce((sum, path) => sum + statSync(path).size, 0);
  console.log(`${basename(file)}: ${(size / 1e6).toFixed(1)} MB; median of ${rounds} runs (fastest)`);
  for (const [name, runs] of results) {
    const steps = ["read", "prune", "write"].filter((step) => runs[0][step] > 1);
    const times = steps.map((step) => `${step} ${milliseconds(runs.map((run) => run[step]))}`);
    const peak = median(runs.map((run) => run.peak));
    console.log(
      `  ${name.padEnd(24)} ${times.join(", ")}; peak ${(peak / 1e6).toFixed(0)} MB = ${(peak / size).toFixed(2)} × size`,
    );
  }
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

const milliseconds = (numbers) => `${median(numbers).toFixed(0)} ms (${Math.min(...numbers).toFixed(0)})`;

const [mode, ...paths] = process.argv.slice(2);
if (mode === "--child") await measureHere(...paths);
else await measureAll(mode ? [mode, ...paths] : []);
