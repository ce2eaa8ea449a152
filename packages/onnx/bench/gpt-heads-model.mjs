// The model of gpt-heads.bench.mjs: a character GPT, how it is trained, measured and cut.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  findSites,
  foldGates,
  numbersOf,
  openRunner,
  planFrom,
  prune,
  readModel,
  readNumbers,
  tensorOf,
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
export const pretraining = {
  steps: 2000,
  batch: 16,
  learningRate: 3e-3,
  warmup: 0.05,
  end: 3e-4,
  clipNorm: 1,
};
export const validationWindows = 384;

// The compiled module lies elsewhere, so that it cannot find the folder itself.
const dataFolder = process.env.DGATE_DATA ?? join(import.meta.dirname, "../../../../shared/data");
export const data = readCharData(join(dataFolder, "text/tinyshakespeare.txt"));
const batchSizes = { batch: pretraining.batch, context: sizes.context };
const validation =
  data && fixedCharBatches(data.validation, { batch: 32, context: sizes.context }, validationWindows);

/** Random batches: the same ones for every method of a seed. */
export const batchesOf = (seed, phase) => randomCharBatches(data.train, batchSizes, 1000 * seed + phase);

/** What all trainings share. */
const common = {
  loss: crossEntropy(),
  train: "all",
  gate: ["heads"],
  optimizer: adam(),
  clipNorm: pretraining.clipNorm,
};

/** Opens a trainer; without options it trains the weights alone, gates at one and no penalty: plain training. */
export async function open(graph, options) {
  return openTrainer(graph, { ...common, lambda: 0, initial: "ones", gateRate: 0, ...options });
}

/** Trains plainly and gives the model without gates. */
export async function trainPlainly(graph, batches, { steps, learningRate, onProgress }) {
  // The trainer asks for gates, or keeps those of a gated model; a model with one head a layer has no heads to gate.
  const trainer = await open(graph, { learningRate, gate: ["/h.0/mlp/c_fc/MatMul.neurons"] });
  await trainer.fit(batches, { steps, ...(onProgress && { onProgress }) });
  const { graph: trained } = await trainer.fold();
  await trainer.dispose();
  return trained;
}

const cacheFolder = join(tmpdir(), "dgate-gpt-heads");

/** A file of the cache, named after what it depends on: its content, made where it is not there yet. */
async function cached(key, ending, make) {
  const text = JSON.stringify({ version: 1, sizes, pretraining, validationWindows, ...key });
  const path = join(cacheFolder, `${createHash("sha256").update(text).digest("hex").slice(0, 16)}.${ending}`);
  if (existsSync(path)) return readFileSync(path);
  const bytes = await make();
  mkdirSync(cacheFolder, { recursive: true });
  writeFileSync(`${path}.${process.pid}`, bytes);
  renameSync(`${path}.${process.pid}`, path);
  return bytes;
}

/** What was found before under the same settings, else what `make` finds: plain data. */
export async function remembered(key, make) {
  return JSON.parse(String(await cached(key, "json", async () => JSON.stringify(await make()))));
}

/** The dense model of a seed, from the cache where it was trained before. */
export async function denseModel(seed, log = () => {}) {
  const bytes = await cached({ seed }, "onnx", async () => {
    const { graph } = charGpt({ ...sizes, vocabulary: data.vocabulary.length, seed });
    const { steps, learningRate, warmup, end } = pretraining;
    const trained = await trainPlainly(graph, batchesOf(seed, 0), {
      steps,
      learningRate: warmupCosine(learningRate, { warmup, end }),
      onProgress: ({ step, loss }) =>
        step % 250 === 0 && log(`seed ${seed}, step ${step}: ${loss.toFixed(3)}`),
    });
    return writeModel(trained);
  });
  return readModel(bytes);
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

/** The heads with the `count` largest scores, of all layers together: heads by layer. */
export function strongest(scores, count) {
  const ranked = scores
    .flatMap((layer, l) => Array.from(layer, (score, head) => ({ l, head, score })))
    .sort((a, b) => b.score - a.score)
    .slice(0, count);
  return scores.map((_, l) =>
    ranked
      .filter((each) => each.l === l)
      .map(({ head }) => head)
      .sort((a, b) => a - b),
  );
}

/**
 * The model with these heads only. `prune` leaves a layer one head at least: where none is kept the values and output rows of that one are
 * zero, and stay so in training, for their gradients are zero too.
 */
export function keepHeads(graph, kept) {
  const sites = headSites(graph);
  const names = sites.map(({ name }, l) => [name, kept[l].length > 0 ? kept[l] : [0]]);
  const { graph: pruned } = prune(graph, planFrom(sites, { kept: Object.fromEntries(names) }));
  kept.forEach((heads, l) => {
    if (heads.length > 0) return;
    for (const part of ["v_proj.weight", "v_proj.bias", "out_proj.weight"]) {
      const value = pruned.value(`h.${l}.attn.${part}`);
      value.data = { ...value.data, bytes: new Uint8Array(value.data.bytes.length) };
    }
  });
  return pruned;
}

/** A gated model with the gates of some heads as they are in another. */
export function withGatesOf(other, gated, heads) {
  const copy = gated.clone();
  headSites(foldGates(gated).graph).forEach(({ name }, l) => {
    for (let d = 1; ; d++) {
      const gate = copy.value(`${name}.gate.${d}`);
      if (!gate) break;
      const numbers = Float32Array.from(readNumbers(gate.data));
      const wanted = readNumbers(other.value(gate.name).data);
      for (const head of heads[l]) numbers[head] = wanted[head];
      gate.data = tensorOf("float32", gate.data.shape, numbers);
    }
  });
  return copy;
}

/** ‖w_j‖ of each head, V and O together: heads by layer. */
export const headNorms = async (trainer) => (await trainer.norms()).map(({ norms }) => norms);

/**
 * Importance of heads by Michel et al. (2019): I_h = E|∂L/∂ξ_h| of a factor ξ_h = 1 on what head h gives, window by window. It is ⟨O_h, ∂L/∂O_h⟩
 * for the rows O_h of the output projection.
 *
 * @returns scores by layer, as they are and divided by the layer's norm, as the paper does
 */
export async function gradientImportance(dense, windows, seed) {
  // Its graph gives gradients where the updates are outside of it.
  const trainer = await open(dense, { train: "groups", updates: "host" });
  const gated = await trainer.gated();
  const parameters = trainer.parameters.map(({ name, shape }) => {
    return { name, shape, weights: Float32Array.from(readNumbers(gated.value(name).data)) };
  });
  const runner = await openRunner(trainer.graph);
  const projections = parameters.filter(({ name }) => name.endsWith("out_proj.weight"));
  const scores = projections.map(() => new Float64Array(sizes.heads));
  const fixed = Object.fromEntries(
    parameters.map(({ name, shape, weights }) => [name, { data: weights, shape }]),
  );
  let count = 0;
  for (const batch of randomCharBatches(data.train, { batch: 1, context: sizes.context }, seed)) {
    if (count++ === windows) break;
    const outputs = await runner.run({ ...fixed, ...batch, "dgate.lambda": { data: [0], shape: [] } });
    projections.forEach(({ name, weights }, l) => {
      const gradient = numbersOf(outputs[`${name}.gradient`]);
      const size = weights.length / sizes.heads;
      scores[l].forEach((_, head) => {
        let sum = 0;
        for (let i = head * size; i < (head + 1) * size; i++) sum += weights[i] * gradient[i];
        scores[l][head] += Math.abs(sum) / windows;
      });
    });
  }
  await runner.dispose();
  await trainer.dispose();
  const normalised = scores.map((layer) => layer.map((score) => score / Math.hypot(...layer)));
  return { scores, normalised };
}
