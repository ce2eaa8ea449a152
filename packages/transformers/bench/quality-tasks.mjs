// The tasks of head-quality.bench.mjs: a model, data to learn from and to score on, levels, and what is measured.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomGenerator } from "@dgate/core";
import { readModelFile, writeModelFile } from "@dgate/onnx/node";
import { openHeadGates } from "@dgate/transformers";
import { RawImage } from "@huggingface/transformers";
import { importTypeScript } from "../../onnx/bench/import-typescript.mjs";

const heads = ["heads"];
const both = ["heads", "ffn"];
const headLevels = [0.75, 0.5, 0.25].map((fraction) => ({
  name: `${100 * fraction} % of the heads`,
  sites: heads,
  target: { heads: fraction },
}));
const macLevel = (times) => ({ name: `MACs ÷ ${times}`, sites: both, target: { macs: 1 / times } });
const macLevels = [1.5, 2].map(macLevel);

/** Sentences of SST-2 with their labels. */
function sentences(folder, file) {
  const rows = readFileSync(join(folder, "sst2", file), "utf8")
    .trim()
    .split("\n")
    .slice(1);
  return rows.map((row) => row.split("\t")).map(([text, label]) => ({ text, label: Number(label) }));
}

/** What is learned from: every fortieth of the training set's phrases of more than five words. */
const phrases = (folder) =>
  sentences(folder, "train.tsv")
    .filter(({ text }) => text.split(" ").length > 5)
    .filter((_, i) => i % 40 === 0);

const learn = { train: "gates", steps: 300, batchSize: 16 };

/** A model this small has to adapt its weights to what is gone. */
const storyLearn = { train: "all", learningRate: 1e-3, steps: 150, batchSize: 8, maxLength: 64, even: false };

/** bert-mini-sst2 without its classifier: an encoder that gives hidden states. */
async function encoderFolder(folder) {
  const made = await mkdtemp(join(tmpdir(), "dgate-encoder-"));
  const source = join(folder, "models/bert-mini-sst2");
  for (const file of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]) {
    await cp(join(source, file), join(made, file));
  }
  const config = JSON.parse(await readFile(join(source, "config.json"), "utf8"));
  await writeFile(join(made, "config.json"), JSON.stringify({ ...config, architectures: ["BertModel"] }));
  const graph = await readModelFile(join(source, "onnx/model.onnx"));
  const states = graph.value("/bert/encoder/layer.3/output/LayerNorm/Add_1_output_0");
  graph.rename(states, "last_hidden_state");
  graph.setOutputs([states]);
  await mkdir(join(made, "onnx"));
  await writeModelFile(join(made, "onnx/model.onnx"), graph);
  return made;
}

/** Stories that the dense model tells: what it was trained on is not here, and this is what it knows of it. */
async function stories(gates, count) {
  const path = join(tmpdir(), `dgate-stories-${count}.json`);
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8"));
  const random = randomGenerator(1);
  const openings = [
    "Once upon a time",
    "One day",
    "There was a",
    "Tim and",
    "Lily",
    "A little",
    "The",
    "In the",
  ];
  const found = [];
  while (found.length < count) {
    const opening = openings[Math.floor(random.next() * openings.length)];
    const [{ generated_text: text }] = await gates.pipeline(opening, {
      do_sample: true,
      temperature: 1,
      top_k: 0,
      max_new_tokens: 100,
    });
    if (text.length > 80) found.push(text);
  }
  mkdirSync(tmpdir(), { recursive: true });
  writeFileSync(path, JSON.stringify(found));
  return found;
}

const accuracy = { key: "accuracy", name: "accuracy", digits: 3 };
const divergence = { key: "loss", name: "divergence from the dense model, nats", least: true, digits: 4 };

let encoder;
let vision;
const { cifarImages, vitFolder } = await importTypeScript(join(import.meta.dirname, "../test/vit-folder.ts"));

async function images(folder, file, count) {
  const found = await cifarImages(count, file, folder);
  return found.map(({ pixels, label }) => ({ image: new RawImage(pixels, 32, 32, 3), label }));
}

/** By name: `key` holds all that a result depends on. */
export const tasks = {
  bert: {
    title:
      "bert-mini-sst2 (4 layers of 8 heads), accuracy on the 872 sentences of SST-2's development set; learned by distillation, no labels",
    key: { model: "bert-mini-sst2", learn, phrases: "more than 5 words, every 40th" },
    levels: [...headLevels, ...macLevels],
    measures: [accuracy, divergence],
    learn,
    open: (folder, options) => openHeadGates(join(folder, "models/bert-mini-sst2"), options),
    data: async (folder) => ({
      training: phrases(folder),
      heldOut: sentences(folder, "glue-dev.tsv"),
    }),
  },
  embedding: {
    title:
      "The encoder of bert-mini-sst2 as a sentence embedder: cosine with the dense model's embeddings, and rank correlation of all pairs' similarities",
    key: {
      model: "bert-mini-encoder",
      learn: { ...learn, objective: "embedding" },
      phrases: "more than 5 words, every 40th",
    },
    levels: headLevels.slice(1),
    measures: [
      { key: "cosine", name: "cosine", digits: 4 },
      { key: "rankCorrelation", name: "rank correlation", digits: 4 },
    ],
    learn: { ...learn, objective: "embedding" },
    importance: { objective: "embedding" },
    open: async (folder, options) => openHeadGates((encoder ??= await encoderFolder(folder)), options),
    data: async (folder) => ({
      training: phrases(folder).map(({ text }) => text),
      heldOut: sentences(folder, "glue-dev.tsv")
        .filter((_, i) => i % 2 === 0)
        .map(({ text }) => text),
    }),
  },
  stories: {
    title:
      "stories260K (Llama, 5 layers of 4 key–value heads with 2 queries each), perplexity on stories that the dense model tells",
    key: { model: "stories260K", learn: storyLearn, stories: 400 },
    levels: headLevels,
    measures: [{ key: "perplexity", name: "perplexity", least: true, digits: 2 }, divergence],
    learn: storyLearn,
    importance: { objective: "next-token", maxLength: 64 },
    open: (folder, options) => openHeadGates(join(folder, "models/tinyllamas/stories260K"), options),
    data: async (_, gates) => {
      const all = await stories(gates, 400);
      return { training: all.slice(0, 340), heldOut: all.slice(340) };
    },
  },
  vit: {
    title: "ViT for CIFAR-10 (2 layers of 3 heads), accuracy on 1,000 test images",
    key: { model: "vit-cifar10", learn, images: 2000 },
    levels: [
      { name: "4 of 6 heads", sites: heads, target: { heads: 4 / 6 } },
      { name: "3 of 6 heads", sites: heads, target: { heads: 0.5 } },
      { name: "2 of 6 heads", sites: heads, target: { heads: 2 / 6 } },
      // Patches, classifier and the last head of each layer are 56 % of this small model.
      ...[1.25, 1.5].map(macLevel),
    ],
    measures: [accuracy, divergence],
    learn,
    open: async (folder, options) => openHeadGates((vision ??= await vitFolder(folder)), options),
    data: async (folder) => ({
      training: await images(folder, "train_subset_8000", 2000),
      heldOut: await images(folder, "test_subset_3000", 1000),
    }),
  },
};
