import { readFileSync } from "node:fs";
import { join } from "node:path";
import { adam, crossEntropy, warmupCosine } from "@dgate/onnx/train";
import {
  type CharData,
  charBatch,
  charData,
  fixedCharBatches,
} from "../../../packages/onnx/test/char-data.ts";
import { charGpt } from "../../../packages/onnx/test/models/char-gpt.ts";
import { epochBatches } from "../training/epoch-batches.ts";
import { requiredDataFolder } from "../training/required-data.ts";
import type { Task, TaskOptions } from "../training/task.ts";
import { agreeingText } from "./agreeing-text.ts";
import { crossEntropyOf, meanOverLabels } from "./mean-over-labels.ts";

export const shakespeareFile = "text/tinyshakespeare.txt";

/** Sizes of the model, and how long it is trained. */
const whole = { layers: 2, heads: 8, width: 64, context: 32, batch: 16, steps: 1500, windows: 512 };
const quickly = { layers: 1, heads: 8, width: 32, context: 16, batch: 16, steps: 300, windows: 64 };

/** A character GPT, trained from its first weights: Adam, the rate up over the first twentieth of the steps, then half a cosine to 0. */
export function charGptTask(gate: readonly ("heads" | "ffn")[]) {
  return ({ quick, backend }: TaskOptions): Task => {
    const { layers, heads, width, context, batch, steps, windows } = quick ? quickly : whole;
    const data = textData(quick);
    const vocabulary = data.vocabulary.length;
    const validation = fixedCharBatches(data.validation, { batch: 32, context }, windows);
    const ffn = Array.from({ length: layers }, (_, i) => `/h.${i}/mlp/c_fc/MatMul.neurons`);
    return {
      build: async (seed) => charGpt({ layers, heads, width, context, vocabulary, seed }).graph,
      fanIn: false,
      gate: gate.flatMap((kind) => (kind === "heads" ? ["heads"] : ffn)),
      loss: crossEntropy(),
      batches: epochBatches(data.train.length - context, batch, (starts) =>
        charBatch(data.train, Array.from(starts), context),
      ),
      steps,
      optimizer: () => adam(),
      learningRate: warmupCosine(3e-3, { warmup: 0.05 }),
      gateSpeed: 10,
      clipNorm: 1,
      // On a CPU Adam's many small nodes take longer than its loop.
      ...(backend === "cpu" && { updates: "host" }),
      score: (graph) => meanOverLabels(graph, validation, crossEntropyOf),
      calibration: () => fixedCharBatches(data.train, { batch: 1, context }, 128),
      example: { input_ids: charBatch(data.validation, [0], context)["input_ids"]! },
      dims: { batch: 1, positions: context },
    };
  };
}

function textData(quick: boolean): CharData {
  return charData(
    quick ? agreeingText(1500) : readFileSync(join(requiredDataFolder(), shakespeareFile), "utf8"),
  );
}
