import { type Graph, numbersOf, openRunner } from "@dgate/onnx";
import { crossEntropy, sgd, warmupCosine } from "@dgate/onnx/train";
import type { ImageSet } from "@dgate/tfjs/data";
import type { Task } from "../training/task.ts";
import { fixedBatches, imageBatch, type ImageData, shuffled } from "./image-data.ts";

/** What a network on images is trained with. */
interface ImageTaskOptions extends Pick<Task, "build" | "gate" | "penaltyRamp" | "clipNorm"> {
  readonly data: ImageData;
  /** Whether the network takes rows of pixels. */
  readonly flat: boolean;
  readonly epochs: number;
  readonly batch: number;
  readonly rate: number;
}

/** Images of a run that latency is measured with. */
const latencyBatch = 16;

/**
 * Classification of images: SGD with momentum 0.9, the rate up over the first sixteenth of the steps, held until 70 % of them, then half a cosine to 0.
 */
export function imageTask({ data, flat, epochs, batch, rate, ...rest }: ImageTaskOptions): Task {
  const { train, test } = data;
  const first = Array.from({ length: latencyBatch }, (_, i) => i);
  return {
    ...rest,
    fanIn: true,
    loss: crossEntropy(),
    batches: shuffled(train, batch, flat),
    steps: epochs * Math.floor(train.count / batch),
    optimizer: () => sgd({ momentum: 0.9 }),
    learningRate: warmupCosine(rate, { warmup: 1 / 16, hold: 0.7 - 1 / 16 }),
    score: (graph) => accuracyOf(graph, test, flat),
    calibration: (seed) => fixedBatches(train, seed, flat),
    example: { input: imageBatch(test, first, flat).input },
    dims: { batch: 1 },
  };
}

/** Fraction of images whose largest logit is that of their class. */
async function accuracyOf(graph: Graph, set: ImageSet, flat: boolean): Promise<number> {
  const runner = await openRunner(graph, { threads: 1 });
  const output = graph.outputs[0]!.name;
  let right = 0;
  for (let at = 0; at < set.count; at += 500) {
    const rows = Array.from({ length: Math.min(500, set.count - at) }, (_, i) => at + i);
    const logits = numbersOf((await runner.run({ input: imageBatch(set, rows, flat).input }))[output]!);
    rows.forEach((row, i) => {
      const scores = logits.subarray(i * set.classes, (i + 1) * set.classes);
      if (scores.indexOf(Math.max(...scores)) === set.labels[row]) right += 1;
    });
  }
  await runner.dispose();
  return right / set.count;
}
