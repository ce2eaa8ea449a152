// LeNet-300-100 on MNIST trained, folded and pruned by @dgate/onnx alone, as `dgate train --data mnist` does with tfjs: SGD with momentum 0.9, rate
// 0.1 after an epoch of warm-up, held until 70 % of the steps, then cosine to 0; batch 128, 16 epochs, gates at balance, neurons of both hidden
// layers as groups, dead below 1 % of the layer's largest norm, nothing fine-tuned. `pnpm bench lenet`; data from DGATE_DATA, else ../shared/data
// beside the repository. DGATE_SEED=2 takes another seed.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { countCosts, findSites } from "@dgate/onnx";
import { crossEntropy, openTrainer, sgd, warmupCosine } from "@dgate/onnx/train";
import { importTypeScript } from "./import-typescript.mjs";

const epochs = Number(process.env.DGATE_EPOCHS ?? 16);
const batch = 128;
const seed = Number(process.env.DGATE_SEED ?? 1);
const runs = [
  { depth: 2, lambda: 0 },
  { depth: 2, lambda: 1e-3 },
  { depth: 3, lambda: 1e-3 },
  { depth: 4, lambda: 1e-3 },
  { depth: 4, lambda: 4.5e-3 },
];

const { accuracyOf, digitBatches, lenet, readMnist, stepsPerEpoch } = await importTypeScript(
  join(import.meta.dirname, "../test/mnist.ts"),
);
const data = readMnist(process.env.DGATE_DATA ?? join(import.meta.dirname, "../../../../shared/data"));
if (!data) process.exit(0);

/** Without penalty the gates stay at one: plain training. */
async function measure({ depth, lambda }) {
  const graph = lenet(seed);
  const trainer = await openTrainer(graph, {
    loss: crossEntropy(),
    sites: findSites(graph),
    gate: ["neurons"],
    depth,
    lambda,
    train: "all",
    ...(lambda === 0 && { initial: "ones", gateRate: 0 }),
    optimizer: sgd({ momentum: 0.9 }),
    learningRate: warmupCosine(0.1, { warmup: 1 / epochs, hold: 0.7 - 1 / epochs }),
    threads: 1,
  });
  const steps = epochs * stepsPerEpoch(data.train, batch);
  const start = performance.now();
  const { losses, meanStepMs } = await trainer.fit(digitBatches(data.train, { batch, epochs, seed }), {
    steps,
  });
  const seconds = (performance.now() - start) / 1000;
  const { graph: folded } = await trainer.fold();
  const { graph: pruned, decisions, verification } = await trainer.prune();
  await trainer.dispose();
  return {
    depth: lambda === 0 ? "dense" : depth,
    lambda,
    accuracyFolded: await accuracyOf(folded, data.test),
    accuracy: await accuracyOf(pruned, data.test),
    neurons: decisions.reduce((sum, { kept }) => sum + kept.length, 0),
    nearThreshold: decisions.reduce((sum, { near }) => sum + near, 0),
    parameters: countCosts(pruned).parameters,
    maxAbsDiff: verification.maxAbsDiff,
    finalLoss: losses.slice(-100).reduce((sum, loss) => sum + loss / 100, 0),
    seconds,
    stepMs: meanStepMs,
  };
}

const results = [];
for (const run of runs) results.push(await measure(run));

const percent = (value) => `${(100 * value).toFixed(2)} %`;
const rows = results.map((each) => [
  String(each.depth),
  String(each.lambda),
  percent(each.accuracyFolded),
  percent(each.accuracy),
  String(each.neurons),
  String(each.nearThreshold),
  each.parameters.toLocaleString("en"),
  each.seconds.toFixed(0),
  each.stepMs.toFixed(2),
]);
const header = [
  "D",
  "λ",
  "accuracy, gated",
  "pruned",
  "neurons of 400",
  "near the threshold",
  "parameters",
  "seconds",
  "ms a step",
];
console.log(`seed ${seed}, ${epochs} epochs, onnxruntime-node, 1 thread\n`);
for (const row of [header, header.map(() => "---"), ...rows]) console.log(`| ${row.join(" | ")} |`);

const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: import.meta.dirname,
  encoding: "utf8",
});
mkdirSync(join(import.meta.dirname, "results"), { recursive: true });
writeFileSync(
  join(import.meta.dirname, "results/lenet.json"),
  `${JSON.stringify({ cpu: cpus()[0]?.model, node: process.version, commit: commit.trim(), seed, epochs, batch, results }, undefined, 2)}\n`,
);
