// Heads of a character GPT (4 layers of 4 heads, 128 wide, 64 characters of context): which to keep, by D-Gating (whole heads as groups: V columns
// and O rows), by gradient importance (Michel et al. 2019), by norm, at random. Validation loss against the number of heads kept; every method
// has the same steps of the same Adam on the same batches. `pnpm bench gpt-heads`; text from DGATE_DATA; DGATE_SEEDS=1,2,3 chooses seeds.
// Dense models and finished seeds are kept in a folder of the temporary directory: a run that was stopped goes on from them.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { formatTable, randomGenerator } from "@dgate/core";
import { foldGates } from "@dgate/onnx";
import { warmupCosine } from "@dgate/onnx/train";
import {
  allHeads,
  batchesOf,
  data,
  denseModel,
  gradientImportance,
  headNorms,
  keepHeads,
  open,
  pretraining,
  remembered,
  sizes,
  strongest,
  trainPlainly,
  validationLoss,
  validationWindows,
  withGatesOf,
} from "./gpt-heads-model.mjs";

const seeds = (process.env.DGATE_SEEDS ?? "1,2,3").split(",").map(Number);
const kept = [12, 8, 4];
const depths = [2, 3];
const settings = {
  steps: 150,
  learningRate: { peak: 2e-4, warmup: 0.05, end: 2e-5 },
  gating: {
    initial: "balanced",
    /** λ from the first number to the second, geometrically, over so many steps; 0 as soon as no more than K heads are alive. */
    lambda: [2e-3, 3e-2],
    ramp: 45,
    /** At this step the heads are chosen even if more are alive. */
    chosenBy: 45,
    /** A head is alive above this part of the norm that it had. */
    alive: 0.2,
    /** Rate of the gates by depth, as a multiple of that of the weights, while λ is above 0; then they stay as they are. */
    gateRate: { 2: 300, 3: 200 },
  },
  importanceWindows: 128,
  randomDraws: 5,
};

if (!data) process.exit(0);
const started = performance.now();
const log = (line) => console.error(`[${((performance.now() - started) / 1000).toFixed(0)} s] ${line}`);

const rate = (() => {
  const { peak, ...shape } = settings.learningRate;
  const at = warmupCosine(peak, shape);
  return (step) => at(step / settings.steps);
})();

/** The batches of the second phase from a step on: those that every method sees at that step. */
function* batchesFrom(seed, first) {
  let step = 0;
  for (const batch of batchesOf(seed, 1)) if (step++ >= first) yield batch;
}

/** Plain training for the steps that are left. */
const trainFrom = (graph, seed, first) => {
  const steps = settings.steps - first;
  return trainPlainly(graph, batchesFrom(seed, first), {
    steps,
    learningRate: (progress) => rate(first + progress * steps),
  });
};

const aliveOf = (norms, start) =>
  norms.flatMap((layer, l) =>
    Array.from(layer).filter((norm, j) => norm > settings.gating.alive * start[l][j]),
  ).length;

/**
 * D-Gating of one depth. λ grows until no more than K heads are alive; the gates of those that stay are set back to where they began, as one
 * refits after the lasso. From that step on there is no penalty: in one branch the gated model is trained to the last step and cut then,
 * in another the heads are cut at once and the small model is trained for the steps that are left. Until then the runs of all K are one.
 *
 * @returns by K: the loss of the gated model that is cut after all steps, and of the one that is cut on the way
 */
async function gate(dense, seed, depth) {
  const { initial, lambda, ramp, chosenBy, gateRate } = settings.gating;
  const [from, to] = lambda;
  let current = from;
  const trainer = await open(dense, {
    depth,
    initial,
    lambda: () => current,
    learningRate: (progress) => rate(progress * settings.steps),
    gateRate: (progress) => rate(progress * settings.steps) * gateRate[depth],
  });
  const start = await headNorms(trainer);
  const first = await trainer.gated();
  const batches = batchesOf(seed, 1);
  const chosen = [];
  for (let step = 0; ; step++) {
    const norms = await headNorms(trainer);
    const alive = aliveOf(norms, start);
    const reached = kept.slice(chosen.length).filter((count) => alive <= count || step >= chosenBy);
    for (const keep of reached) {
      const heads = strongest(norms, keep);
      chosen.push({ keep, step, alive, heads, gated: withGatesOf(first, await trainer.gated(), heads) });
    }
    if (chosen.length === kept.length) break;
    current = from * (to / from) ** Math.min(1, step / ramp);
    // The schedules take the progress to the last step; one batch is one step.
    await trainer.fit([batches.next().value], { steps: settings.steps });
  }
  await trainer.dispose();
  const results = [];
  for (const { keep, step, alive, heads, gated } of chosen) {
    const last = await trainFrom(gated, seed, step);
    const small = await trainFrom(keepHeads(foldGates(gated).graph, heads), seed, step);
    const losses = {
      gated: await validationLoss(keepHeads(last, heads)),
      trained: await validationLoss(small),
    };
    results.push({ keep, step, alive, heads, ...losses });
    log(`seed ${seed}, D = ${depth}: ${JSON.stringify(results.at(-1))}`);
  }
  return results;
}

/** Scores of the heads of a dense model by method. */
async function scoresOf(model, seed) {
  const { scores, normalised } = await gradientImportance(model, settings.importanceWindows, 7000 + seed);
  const trainer = await open(model, {});
  const norms = await headNorms(trainer);
  await trainer.dispose();
  return { gradient: scores, "gradient, layers normalised": normalised, "L2 norm": norms };
}

const randomScores = (random) =>
  Array.from({ length: sizes.layers }, () => Float64Array.from({ length: sizes.heads }, () => random.next()));

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: import.meta.dirname,
  encoding: "utf8",
}).trim();

/** All losses of one seed, with the commit that they were found at: `without` training after the cut, and `equal` training, by method and K. */
async function experiment(seed) {
  const dense = await denseModel(seed, log);
  const plain = await trainFrom(dense, seed, 0);
  const losses = {
    commit,
    dense: await validationLoss(dense),
    plain: await validationLoss(plain),
    without: {},
    equal: {},
    chosen: {},
  };
  log(`seed ${seed}: dense ${losses.dense.toFixed(4)}, trained on ${losses.plain.toFixed(4)}`);
  const add = (part, method, keep, value) => {
    losses[part][method] = { ...losses[part][method], [keep]: value };
  };
  for (const depth of depths) {
    for (const { keep, step, alive, heads, gated, trained } of await gate(dense, seed, depth)) {
      add("without", `D-Gating, D = ${depth}`, keep, gated);
      add("equal", `D-Gating, D = ${depth}`, keep, trained);
      add("chosen", `D-Gating, D = ${depth}`, keep, { step, alive, heads });
    }
  }
  const random = randomGenerator(50 + seed);
  const [ofPlain, ofDense] = [await scoresOf(plain, seed), await scoresOf(dense, seed)];
  for (const keep of kept) {
    for (const [method, scores] of Object.entries(ofPlain)) {
      add("without", method, keep, await validationLoss(keepHeads(plain, strongest(scores, keep))));
    }
    let sum = 0;
    for (let draw = 0; draw < settings.randomDraws; draw++) {
      sum += await validationLoss(keepHeads(plain, strongest(randomScores(random), keep)));
    }
    add("without", "random", keep, sum / settings.randomDraws);
    for (const [method, scores] of [
      ["gradient", ofDense.gradient],
      ["gradient, layers normalised", ofDense["gradient, layers normalised"]],
      ["random", randomScores(random)],
    ]) {
      const heads = strongest(scores, keep);
      const tuned = await trainFrom(keepHeads(dense, heads), seed, 0);
      add("equal", method, keep, await validationLoss(tuned));
      add("chosen", method, keep, { step: 0, heads });
    }
    log(
      `seed ${seed}, ${keep} heads: ${JSON.stringify([losses.without, losses.equal].map((part) => Object.fromEntries(Object.entries(part).map(([name, by]) => [name, by[keep]]))))}`,
    );
  }
  return losses;
}

const results = {};
for (const seed of seeds)
  results[seed] = await remembered({ seed, settings, kept, depths }, () => experiment(seed));

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const deviation = (values) =>
  Math.sqrt(
    mean(values.map((value) => (value - mean(values)) ** 2)) *
      (values.length / Math.max(1, values.length - 1)),
  );
const cell = (values) => `${mean(values).toFixed(4)} ± ${deviation(values).toFixed(4)}`;

/** Losses of one comparison; `less` is a method whose loss is taken off, seed by seed. */
function table(name, less) {
  const rows = Object.keys(results[seeds[0]][name])
    .filter((method) => method !== less)
    .map((method) => [
      method,
      ...kept.map((keep) =>
        cell(
          seeds.map((seed) => {
            const losses = results[seed][name];
            return losses[method][keep] - (less === undefined ? 0 : losses[less][keep]);
          }),
        ),
      ),
    ]);
  return formatTable(["", ...kept.map((keep) => `${keep} of ${allHeads} heads`)], rows);
}

const report = {
  machine: {
    cpu: cpus()[0]?.model,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  },
  settings: { sizes, pretraining, validationWindows, kept, ...settings },
  seconds: Math.round((performance.now() - started) / 1000),
  results,
};
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "gpt-heads.json"), `${JSON.stringify(report, undefined, 2)}\n`);

console.log(
  `dense ${cell(seeds.map((seed) => results[seed].dense))}; trained for ${settings.steps} more steps ${cell(seeds.map((seed) => results[seed].plain))}; ${seeds.length} seeds\n`,
);
for (const [name, title] of [
  ["without", `validation loss, ${settings.steps} steps and then cut`],
  ["equal", `validation loss, cut on the way or before, ${settings.steps} steps in all`],
]) {
  console.log(`${title}:\n${table(name)}\n`);
  console.log(`the same less that of "gradient", seed by seed:\n${table(name, "gradient")}\n`);
}
console.log(JSON.stringify(report.settings));
