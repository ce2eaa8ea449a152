import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readModelFile } from "@dgate/onnx/node";
import { adam, crossEntropy, warmupCosine } from "@dgate/onnx/train";
import { tinyBertFolder } from "../../../packages/transformers/test/tiny-bert-folder.ts";
import { epochBatches } from "../training/epoch-batches.ts";
import { requiredDataFolder } from "../training/required-data.ts";
import type { Task, TaskOptions } from "../training/task.ts";
import { filmOpinions } from "./film-opinions.ts";
import { isRight, meanOverLabels } from "./mean-over-labels.ts";
import { openTokenizer, readSentences, type Sentence, sentenceFiles } from "./sentences.ts";

const positions = 32;
const whole = { steps: 150, batch: 16, rate: 4e-4, gateSpeed: 200 };
const quickly = { steps: 150, batch: 16, rate: 5e-3, gateSpeed: 20 };

/**
 * A trained classifier of sentences, fine-tuned on those of its training set that have more than five words: Adam, the rate up over the first twentieth
 * of the steps, then half a cosine to 0. The embeddings stay as they are. Quickly it is a tiny one, not trained yet, of a few words.
 */
export function bertMiniTask(kind: "heads" | "ffn") {
  return async ({ quick, backend }: TaskOptions): Promise<Task> => {
    const { steps, batch, rate, gateSpeed } = quick ? quickly : whole;
    const { dense, toBatch } = await (quick ? (tiny ??= openTiny()) : (mini ??= openMini()));
    const { train, heldOut } = quick ? opinions() : movieReviews();
    const layers = Array.from({ length: quick ? 2 : 4 }, (_, i) => `/bert/encoder/layer.${i}`);
    // Sentences of like length need little padding.
    const sorted = heldOut.toSorted((a, b) => a.text.length - b.text.length);
    const validation = Array.from({ length: Math.ceil(sorted.length / 32) }, (_, i) =>
      toBatch(sorted.slice(i * 32, (i + 1) * 32)),
    );
    const { labels: _, ...example } = toBatch(sorted.slice(-1));
    return {
      build: async () => dense.clone(),
      fanIn: false,
      gate: kind === "heads" ? ["heads"] : layers.map((name) => `${name}/intermediate/dense/MatMul.neurons`),
      loss: crossEntropy(),
      batches: epochBatches(train.length, batch, (rows) => toBatch(Array.from(rows, (row) => train[row]!))),
      steps,
      optimizer: () => adam(),
      learningRate: warmupCosine(rate, { warmup: 0.05 }),
      gateSpeed,
      clipNorm: 1,
      freeze: dense.initializers.map(({ name }) => name).filter((name) => name.includes(".embeddings.")),
      // On a CPU Adam's many small nodes take longer than its loop.
      ...(backend === "cpu" && { updates: "host" }),
      score: (graph) => meanOverLabels(graph, validation, isRight),
      calibration: (seed) => train.slice(128 * seed, 128 * (seed + 1)).map((sentence) => toBatch([sentence])),
      example,
      dims: { batch_size: 1, sequence_length: positions },
    };
  };
}

/** Sentences to train on and others. */
interface Sentences {
  readonly train: readonly Sentence[];
  readonly heldOut: readonly Sentence[];
}

const movieReviews = (): Sentences => ({
  train: readSentences(sentenceFiles.train).filter(({ text }) => text.split(" ").length > 5),
  heldOut: readSentences(sentenceFiles.dev),
});

const opinions = (): Sentences => ({ train: filmOpinions(2000, 1), heldOut: filmOpinions(200, 2) });

async function openFolder(folder: string) {
  const dense = await readModelFile(join(folder, "onnx/model.onnx"));
  return { dense, toBatch: await openTokenizer(folder, positions) };
}

const openMini = () => openFolder(join(requiredDataFolder(), "models/bert-mini-sst2"));

async function openTiny() {
  const folder = await mkdtemp(join(tmpdir(), "dgate-tiny-bert-"));
  try {
    return await openFolder(await tinyBertFolder(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Models and tokenisers: the runs of a process share them. */
let mini: ReturnType<typeof openMini> | undefined;
let tiny: ReturnType<typeof openTiny> | undefined;
