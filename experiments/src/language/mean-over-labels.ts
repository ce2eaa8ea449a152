import { type Graph, numbersOf, openRunner } from "@dgate/onnx";
import type { Batch } from "@dgate/onnx/train";

/** Mean over all labels of what the logits of each are worth. */
export async function meanOverLabels(
  graph: Graph,
  batches: readonly Batch[],
  worth: (logits: Float64Array, label: number) => number,
): Promise<number> {
  const runner = await openRunner(graph, { threads: 1 });
  let [total, count] = [0, 0];
  for (const { labels: given, ...inputs } of batches) {
    const logits = numbersOf((await runner.run(inputs))["logits"]!);
    const labels = numbersIn(given!);
    const classes = logits.length / labels.length;
    labels.forEach((label, row) => {
      total += worth(Float64Array.from(logits.subarray(row * classes, (row + 1) * classes)), label);
    });
    count += labels.length;
  }
  await runner.dispose();
  return total / count;
}

/** −log of the probability of the label, in nats. */
export function crossEntropyOf(logits: Float64Array, label: number): number {
  const largest = Math.max(...logits);
  const sum = logits.reduce((a, logit) => a + Math.exp(logit - largest), 0);
  return largest + Math.log(sum) - logits[label]!;
}

/** 1 if the largest logit is that of the label. */
export const isRight = (logits: Float64Array, label: number): number =>
  logits.indexOf(Math.max(...logits)) === label ? 1 : 0;

/** The batches here give their labels as arrays of numbers. */
const numbersIn = (feed: Batch[string]): readonly number[] =>
  "data" in feed ? Array.from(feed.data as ArrayLike<number>) : [];
