import type { Graph } from "@dgate/onnx";
import { adam, crossEntropy, openTrainer, warmupCosine } from "@dgate/onnx/train";
import type { OrtModule } from "@dgate/onnx/web";
import { smallBatch, smallModel } from "./small-model.ts";
import { opinions } from "./small-texts.ts";

const seed = 1;
const steps = 400;
const batchSize = 64;
const rate = 3e-3;

/** Trains the built-in model from drawn weights, on sentences that are drawn anew for every batch. */
export async function trainSmallModel(
  ort: OrtModule,
  {
    onProgress,
    signal,
  }: {
    readonly onProgress?: (step: number, steps: number, loss: number) => void;
    readonly signal?: AbortSignal;
  } = {},
): Promise<Graph> {
  const trainer = await openTrainer(smallModel(seed), {
    loss: crossEntropy(),
    gate: "none",
    optimizer: adam(),
    learningRate: warmupCosine(rate, { warmup: 0.1, hold: 0.3 }),
    clipNorm: 1,
    updates: "host",
    provider: "wasm",
    ort,
  });
  try {
    function* batches() {
      for (let step = 0; step < steps; step++) yield smallBatch(opinions(batchSize, 1000 * seed + step));
    }
    await trainer.fit(batches(), {
      steps,
      onProgress: ({ step, loss }) => onProgress?.(step, steps, loss),
      ...(signal && { signal }),
    });
    return (await trainer.fold()).graph;
  } finally {
    await trainer.dispose();
  }
}
