// How long a model takes that is as large as all-MiniLM-L6-v2 (6 layers, 384 wide, 90 MB): opening it, and learning the gates of its heads from 2,000 short
// texts with default steps, until the pruned model is proven. Weights are random: times do not depend on them. `pnpm bench learn-speed`; texts and tokenizer
// from DGATE_DATA; DGATE_STEPS for fewer steps.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { formatTable } from "@dgate/core";
import { openHeadGates } from "@dgate/transformers";
import * as transformers from "@huggingface/transformers";
import { dataFolder } from "./data-folder.mjs";
import { miniLmFolder } from "./minilm-folder.mjs";

const data = dataFolder();
if (!data) process.exit(0);
const textCount = 2000;
const threads = Math.min(2, cpus().length);
const limits = { learnSeconds: 600, openSeconds: 3 };

/** The first sentences of SST-2's training set with more than five words. */
const texts = readFileSync(join(data, "sst2/train.tsv"), "utf8")
  .split("\n")
  .slice(1)
  .map((row) => row.split("\t")[0])
  .filter((text) => text.split(" ").length > 5)
  .slice(0, textCount);

const folder = await miniLmFolder(data);
const seconds = (from) => (performance.now() - from) / 1000;
const load = loadavg()[0];

/** Opens the model so often: seconds of the whole, and of the library's own loading in it. */
const opened = [];
for (let i = 0; i < 3; i++) {
  const start = performance.now();
  const gates = await openHeadGates(folder, { transformers, threads });
  const whole = seconds(start);
  const library = gates.internals.model.loadMs / 1000;
  opened.push({ whole, library, beside: whole - library });
  await gates.dispose();
  await gates.pipeline.dispose();
}

const start = performance.now();
const gates = await openHeadGates(folder, { transformers, threads });
/** When each phase was entered, and steps done until then. */
const marks = [];
const report = await gates.learn(texts, {
  target: { heads: 0.5 },
  ...(process.env.DGATE_STEPS && { steps: Number(process.env.DGATE_STEPS) }),
  onProgress: ({ phase, step }) => {
    if (marks.at(-1)?.phase !== phase) marks.push({ phase, step, at: seconds(start) });
  },
});
const learned = seconds(start);
const pruned = await gates.prune();
const whole = seconds(start);
marks.push({ phase: "prune", step: report.steps, at: learned }, { phase: "", step: report.steps, at: whole });
await gates.dispose();
await rm(folder, { recursive: true });

const phases = marks.slice(0, -1).map(({ phase, step, at }, i) => {
  const next = marks[i + 1];
  return { phase, seconds: next.at - at, steps: next.step - step };
});
console.log(`${cpus()[0]?.model}, ${threads} threads, load at the start ${load.toFixed(1)}\n`);
console.log("openHeadGates of a 90 MB model, seconds");
console.log(
  formatTable(
    ["time", "whole", "transformers.js", "beside"],
    opened.map((times, i) => [
      i === 0 ? "first" : "again",
      times.whole.toFixed(2),
      times.library.toFixed(2),
      times.beside.toFixed(2),
    ]),
  ),
);
console.log(`\nlearning the gates of 72 heads from ${texts.length} texts`);
console.log(
  formatTable(
    ["phase", "seconds", "steps", "steps a second"],
    phases.map(({ phase, seconds: each, steps }) => [
      phase,
      each.toFixed(1),
      steps,
      steps > 0 ? (steps / each).toFixed(2) : "",
    ]),
  ),
);
const beside = Math.max(...opened.map((each) => each.beside));
console.log(
  `\nfrom the texts to the proven model: ${whole.toFixed(1)} s (limit ${limits.learnSeconds}), ${report.steps} steps, ${(report.steps / report.seconds).toFixed(2)} a second; ` +
    `opening besides loading: at most ${beside.toFixed(2)} s (limit ${limits.openSeconds}); ` +
    `masked and pruned differ by ${pruned.files[0].pruned.verification.maxAbsDiff.toExponential(1)}`,
);
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: import.meta.dirname,
  encoding: "utf8",
}).trim();
mkdirSync(join(import.meta.dirname, "results"), { recursive: true });
writeFileSync(
  join(import.meta.dirname, "results/learn-speed.json"),
  `${JSON.stringify({ commit, node: process.version, cpu: cpus()[0]?.model, load, threads, texts: texts.length, steps: report.steps, seconds: whole, opened, phases }, undefined, 1)}\n`,
);
process.exit(whole < limits.learnSeconds && beside < limits.openSeconds ? 0 : 1);
