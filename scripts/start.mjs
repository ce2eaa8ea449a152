// `npm start`: trains a dense baseline and D = 2, 3, 4 on digits that the project draws itself, prunes, exports, proves the
// result in onnxruntime-web and measures it, two trainings at a time. Leaves runs/digits/{report.html, report.json, model.onnx}.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { build, root } from "./build.mjs";

const started = performance.now();
console.error("building");
build(["--filter=@dgate/cli"]);
const { formatTable } = await import("@dgate/core");
const { printDocument, reportPage } = await import("@dgate/cli");

const folder = join(root, "runs/digits");
/** The same for every training: data, network, steps, optimiser, schedule. */
const common = ["--data", "digits", "--arch", "lenet-300-100", "--backend", "wasm", "--epochs", "16"];
const gating = ["--no-dense", "--lambda", "3e-3", "--sites", "neurons,inputs", "--init", "ones"];
const trainings = [
  { name: "dense", args: ["--method", "dense"], out: join(folder, "dense") },
  ...[2, 3, 4].map((depth) => ({
    name: `D = ${depth}`,
    args: ["--depth", String(depth), ...gating],
    out: join(folder, `d${depth}`),
  })),
];

const children = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const child of children) child.kill(signal);
    console.error("stopped");
    process.exit(130);
  });
}

mkdirSync(folder, { recursive: true });
console.error(`training on ${Math.min(2, availableParallelism())} cores; a dense network and D = 2, 3, 4`);
const [dense, ...trained] = await inPool(trainings, Math.min(2, availableParallelism()));
console.error("measuring all four side by side");
const latencies = await dgate("bench", [
  "bench",
  ...trainings.map(({ out }) => join(out, "model.onnx")),
  "--json",
]);
const comparison = { dense: { ...dense, latency: denseLatency() }, runs: trained.map(completed) };
write("report.json", printDocument(comparison));
write(
  "report.html",
  reportPage({ ...comparison, note: "model.onnx in this folder is the pruned model of D = 3." }),
);
// The model to look at first is that of D = 3.
copyFileSync(join(folder, "d3/model.onnx"), join(folder, "model.onnx.tmp"));
renameSync(join(folder, "model.onnx.tmp"), join(folder, "model.onnx"));
console.log(summary(comparison));

/** A run with the baseline's accuracy, and with latencies that were measured when no training was under way. */
function completed(run, i) {
  const [first, pruned] = [latencies.models[0], latencies.models[i + 1]];
  return {
    ...run,
    accuracy: { ...run.accuracy, dense: dense.accuracy.dense },
    latency: {
      ...run.latency,
      batch: latencies.batch,
      dense: figuresOf(first),
      pruned: figuresOf(pruned),
      speedup: Math.round((100 * first.medianMs) / pruned.medianMs) / 100,
    },
  };
}

/** The written model of the baseline is the dense one itself. */
function denseLatency() {
  const figures = figuresOf(latencies.models[0]);
  return { runtime: "onnxruntime-web", batch: latencies.batch, dense: figures, pruned: figures, speedup: 1 };
}

function figuresOf({ medianMs, p95Ms }) {
  return { medianMs, p95Ms };
}

/** Runs the trainings, so many at a time, in order. */
async function inPool(jobs, size) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < jobs.length) {
      const i = next++;
      results[i] = await trainIn(jobs[i]);
    }
  };
  await Promise.all(Array.from({ length: size }, worker));
  return results;
}

/** One training in its own process. */
function trainIn({ name, args, out }) {
  return dgate(name, ["train", ...common, ...args, "-o", out, "--force", "--json"]);
}

/** Runs the command in a child process; its lines go to stderr behind a name. Gives its JSON document. */
function dgate(name, args) {
  const command = [join(root, "packages/cli/bin/dgate.mjs"), ...args];
  const child = spawn(process.execPath, command, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  let document = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    document += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    for (const line of text.split("\n")) if (line.trim()) console.error(`${name.padEnd(6)} ${line}`);
  });
  return new Promise((resolve) => {
    child.on("close", (code) => {
      children.delete(child);
      if (code === 0) return resolve(JSON.parse(document));
      console.error(`npm start: ${name} ended with code ${code}; its lines are above.`);
      for (const other of children) other.kill();
      process.exit(code ?? 1);
    });
  });
}

function write(name, content) {
  const path = join(folder, name);
  writeFileSync(`${path}.tmp`, content);
  renameSync(`${path}.tmp`, path);
}

function percent(value) {
  return `${(100 * value).toFixed(2)} %`;
}

function row(name, run, latencyMs) {
  return [
    name,
    percent(run.accuracy.pruned ?? run.accuracy.dense),
    run.groups.total > 0 ? `${run.groups.active} of ${run.groups.total}` : "all",
    run.parameters.toLocaleString("en"),
    run.macs.toLocaleString("en"),
    `${(run.after.bytes / 1000).toFixed(0)} kB`,
    latencyMs === undefined ? "" : `${latencyMs.toFixed(3)} ms`,
    run.latency ? `${run.latency.speedup.toFixed(1)}×` : "",
    run.maxAbsDiff === null ? "" : run.maxAbsDiff.toExponential(0),
  ];
}

function summary({ dense: baseline, runs: gated }) {
  const rows = [
    row("dense", baseline, gated[0].latency?.dense.medianMs),
    ...gated.map((run) => row(`D = ${run.depth}`, run, run.latency?.pruned.medianMs)),
  ];
  const header = ["", "accuracy", "groups", "parameters", "MACs", "ONNX", "latency", "faster", "max |Δ|"];
  const files = ["report.html", "report.json", "model.onnx"].map((name) =>
    relative(process.cwd(), join(folder, name)),
  );
  const seconds = Math.round((performance.now() - started) / 1000);
  return `\n${formatTable(header, rows)}\n\nafter ${seconds} s: ${files.join(", ")} (model.onnx is that of D = 3)`;
}
