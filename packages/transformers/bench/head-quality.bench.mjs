// Which heads and neurons to keep, by D-Gating, gradient importance (Michel et al. 2019), Wanda, L2 norm, at random: quality of the pruned model
// against what is left of it. Every method has the same steps of the same optimiser on the same batches: gating spends a part of them on choosing.
// `pnpm bench head-quality`; models and texts from DGATE_DATA; DGATE_SEEDS=1,2,3, DGATE_TASKS=bert,embedding,stories,vit, DGATE_LEVELS=MACs,
// DGATE_METHODS="L2;random" choose. Prints Markdown: means and spread over seeds, the best in bold. Runs are kept in the temporary directory, so
// that one that was stopped goes on.
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { dataFolder } from "./data-folder.mjs";
import { tasks } from "./quality-tasks.mjs";

const folder = dataFolder();
if (!folder) process.exit(0);
const seeds = (process.env.DGATE_SEEDS ?? "1,2,3").split(",").map(Number);
const wanted = (process.env.DGATE_TASKS ?? Object.keys(tasks).join()).split(",");

const allMethods = [
  { name: "D-Gating, D = 2", depth: 2 },
  { name: "D-Gating, D = 3", depth: 3 },
  { name: "gradient", importance: "gradient" },
  { name: "Wanda", importance: "wanda" },
  { name: "L2", importance: "l2" },
  { name: "random", importance: "random" },
];

const chosen = process.env.DGATE_METHODS?.split(";");
const methods = allMethods.filter(({ name }) => chosen?.includes(name) ?? true);

const started = performance.now();
const log = (line) => console.error(`[${((performance.now() - started) / 1000).toFixed(0)} s] ${line}`);
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: import.meta.dirname,
  encoding: "utf8",
}).trim();

/** One method at one level: quality on held-out data. */
async function measure(task, level, method, seed) {
  const { depth = 3, importance } = method;
  const gates = await task.open(folder, { depth, sites: level.sites });
  const data = await task.data(folder, gates);
  const own =
    importance &&
    (await gates.importance(importance, data.training.slice(0, 128), { seed, ...task.importance }));
  const scores = own && (level.sites.length > 1 ? comparable(own) : own);
  const report = await gates.learn(data.training, {
    ...task.learn,
    target: level.target,
    heldOut: data.heldOut,
    seed,
    latency: false,
    ...(scores && { scores }),
  });
  await gates.dispose();
  await gates.pipeline.dispose?.();
  const { dense, pruned } = report;
  return {
    commit,
    dense: dense.quality,
    pruned: pruned.quality,
    macs: pruned.macs / dense.macs,
    steps: report.steps,
  };
}

/** Scores of heads and of neurons cannot be ranked together as they are: each layer's are divided by their mean, as `planFrom` does. */
const comparable = (scores) =>
  new Map(
    [...scores].map(([name, values]) => {
      const middle = values.reduce((a, b) => a + b, 0) / values.length;
      return [name, values.map((value) => value / (middle || 1))];
    }),
  );

/** A result from the cache, or a new one. */
async function cached(task, level, method, seed) {
  const key = JSON.stringify({
    version: 5, // of what `learn` does with these options
    task: task.key,
    level,
    method,
    seed,
  });
  const path = join(
    tmpdir(),
    "dgate-head-quality",
    `${createHash("sha256").update(key).digest("hex").slice(0, 16)}.json`,
  );
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8"));
  const result = await measure(task, level, method, seed);
  mkdirSync(join(tmpdir(), "dgate-head-quality"), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(result));
  renameSync(`${path}.${process.pid}`, path);
  return result;
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const spread = (values) => Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)));

for (const name of wanted) {
  const task = tasks[name];
  const results = {};
  const levels = task.levels.filter((level) => level.name.includes(process.env.DGATE_LEVELS ?? ""));
  for (const level of levels) {
    for (const method of methods) {
      for (const seed of seeds) {
        const result = await cached(task, level, method, seed);
        ((results[level.name] ??= {})[method.name] ??= []).push({ seed, ...result });
        log(`${name}, ${level.name}, ${method.name}, seed ${seed}: ${JSON.stringify(result.pruned)}`);
      }
    }
  }
  const first = Object.values(Object.values(results)[0])[0][0];
  console.log(`\n${task.title}`);
  for (const { key, name: measured, least, digits } of task.measures) {
    const header = [
      `${measured} (dense ${first.dense[key].toFixed(digits)})`,
      ...levels.map((level) => level.name),
    ];
    const means = methods.map((method) =>
      levels.map((level) => mean(results[level.name][method.name].map(({ pruned }) => pruned[key]))),
    );
    const best = levels.map((_, i) => Math[least ? "min" : "max"](...means.map((row) => row[i])));
    const rows = methods.map((method, m) => [
      method.name,
      ...levels.map((level, i) => {
        const off = spread(results[level.name][method.name].map(({ pruned }) => pruned[key]));
        const cell = `${means[m][i].toFixed(digits)} ± ${off.toFixed(digits)}`;
        return means[m][i] === best[i] ? `**${cell}**` : cell;
      }),
    ]);
    for (const row of ["", header, header.map(() => "---"), ...rows]) {
      console.log(row && `| ${row.join(" | ")} |`);
    }
  }
  mkdirSync(join(import.meta.dirname, "results"), { recursive: true });
  writeFileSync(
    join(import.meta.dirname, "results", `head-quality-${name}.json`),
    `${JSON.stringify({ commit, node: process.version, cpu: cpus()[0]?.model, seeds, learn: task.learn, results }, undefined, 1)}\n`,
  );
}
