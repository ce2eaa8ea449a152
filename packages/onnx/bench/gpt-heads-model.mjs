// The model of gpt-heads.bench.mjs: a character GPT, how it is trained, measured and cut.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  findSites,
  numbersOf,
  openRunner,
  planFrom,
  prune,
  readModel,
  writeModel,
} from "@dgate/onnx";
import { adam, crossEntropy, openTrainer, warmupCosine } from "@dgate/onnx/train";
import { importTypeScript } from "./import-typescript.mjs";

const { charGpt } = await importTypeScript(join(import.meta.dirname, "../test/models/char-gpt.ts"));
const { fixedCharBatches, randomCharBatches, readCharData } = await importTypeScript(
  join(import.meta.dirname, "../test/char-data.ts"),
);

export const sizes = { layers: 4, heads: 4, width: 128, context: 64 };
export const allHeads = sizes.layers * sizes.heads;
export const pretraining = { steps: 1000, batch: 16, learningRate: 2e-3, warmup: 0.1, end: 2e-4, clipNorm: 1 };
const validationWindows = 256;

export const data = readCharData();
const batchSizes = { batch: pretraining.batch, context: sizes.context };
const validation = data && fixedCharBatches(data.validation, { batch: 32, context: sizes.context }, validationWindows);

/** Random batches: the same ones for every method of a seed. */
export const batchesOf = (seed, phase) => randomCharBatches(data.train, batchSizes, 1000 * seed + phase);

/** What all trainings share. */
const common = { loss: crossEntropy(), train: "all", gate: ["heads"], optimizer: adam(), clipNorm: pretraining.clipNorm };

/** Opens a trainer; without options it trains the weights alone, gates at one and no penalty: plain training. */
export async function open(graph, options) {
  return openTrainer(graph, { ...common, lambda: 0, initial: "ones", gateRate: 0, ...options });
}

/** Trains plainly and gives the model without gates. */
export async function trainPlainly(graph, batches, { steps, learningRate, onProgress }) {
  const trainer = await open(graph, { learningRate });
  await trainer.fit(batches, { steps, ...(onProgress && { onProgress }) });
  const { graph: trained } = await trainer.fold();
  await trainer.dispose();
  return trained;
}

/** The dense model of a seed, from the cache where it was trained before. */
export async function denseModel(seed, log = () => {}) {
  const key = createHash("sha256").update(JSON.stringify({ sizes, pretraining, seed, version: 1 })).digest("hex");
  const folder = join(tmpdir(), "dgate-gpt-heads");
  const path = join(folder, `${key.slice(0, 16)}.onnx`);
  if (existsSync(path)) return readModel(readFileSync(path));
  const { graph } = charGpt({ ...sizes, vocabulary: data.vocabulary.length, seed });
  const { steps, learningRate, ...schedule } = pretraining;
  const trained = await trainPlainly(graph, batchesOf(seed, 0), {
    steps,
    learningRate: warmupCosine(learningRate, schedule),
    onProgress: (progress) => progress.step % 100 === 0 && log(`seed ${seed}, step ${progress.step}: ${progress.loss.toFixed(3)}`),
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${path}.${process.pid}`, writeModel(trained));
  renameSync(`${path}.${process.pid}`, path);
  return trained;
}

/** Mean cross-entropy of the validation windows, in nats a character. */
export async function validationLoss(graph) {
  const runner = await openRunner(graph);
  let [total, count] = [0, 0];
  for (const { input_ids: ids, labels } of validation) {
    const logits = numbersOf((await runner.run({ input_ids: ids })).logits);
    const classes = logits.length / labels.data.length;
    labels.data.forEach((label, row) => {
      const scores = logits.subarray(row * classes, (row + 1) * classes);
      const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const sum = scores.reduce((a, score) => a + Math.exp(score - largest), 0);
      total += largest + Math.log(sum) - scores[label];
    });
    count += labels.data.length;
  }
  await runner.dispose();
  return total / count;
}

const headSites = (graph) => findSites(graph).filter(({ kind }) => kind === "heads");

/** The heads with the `count` largest scores, of all layers together, at least `minimum` in each: heads by layer. */
export function strongest(scores, count, minimum = 1) {
  const ranked = scores
    .flatMap((layer, l) => Array.from(layer, (score, head) => ({ l, head, score })))
    .sort((a, b) => b.score - a.score);
  const kept = scores.map(() => []);
  const sure = scores.map((layer, l) => ranked.filter((each) => each.l === l).slice(0, minimum)).flat();
  const rest = ranked.filter((each) => !sure.includes(each));
  for (const { l, head } of [...sure, ...rest].slice(0, count)) kept[l].push(head);
  return kept.map((heads) => heads.sort((a, b) => a - b));
}

/** The model with these heads only. */
export function keepHeads(graph, kept) {
  const sites = headSites(graph);
  const plan = planFrom(sites, { kept: Object.fromEntries(sites.map(({ name }, l) => [name, kept[l]])) });
  return prune(graph, plan).graph;
}

/** ‖w_j‖ of each head, V and O together: heads by layer. */
export const headNorms = async (trainer) => (await trainer.norms()).map(({ norms }) => norms);
