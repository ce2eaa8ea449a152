import { type BackendName, gate, penalty, useBackend } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { type Competitor, type CostEngine, floatBytes, training } from "./competitor.ts";
import type { CostNetwork } from "./networks.ts";

/**
 * Trains on a backend of tfjs.
 *
 * @throws DgateError as `useBackend` if it is not there
 */
export async function tfjsEngine(
  backend: BackendName,
  network: CostNetwork,
  seed: number,
): Promise<CostEngine> {
  tf.enableProdMode(); // else tfjs recommends its native package, on stdout
  const { device } = await useBackend(backend);
  return { device, open: async (depth) => open(network, depth, seed) };
}

function open({ layers, batch }: CostNetwork, depth: number, seed: number): Competitor {
  const { build, gate: gated, classes } = layers!; // step-cost asks for networks that have them
  const plain = build(seed);
  const { lambda, learningRate, momentum } = training;
  const rules = [{ layer: gated }, { site: "none" as const }];
  const model = depth === 1 ? plain : gate(plain, { depth, lambda, rules });
  if (model !== plain) plain.dispose();
  const optimizer = tf.train.momentum(learningRate, momentum);
  model.compile({
    optimizer,
    loss: (labels, logits) => tf.losses.softmaxCrossEntropy(labels, logits),
  });
  const { input, labels } = batch(seed);
  const x = tf.tensor(input!.data, [...input!.shape]);
  const y = tf.tidy(() => tf.oneHot(tf.tensor1d(labels!.data, "int32"), classes).toFloat());
  const parameters = sizeOf(model.trainableWeights.map((weight) => weight.read()));
  // One loss and no metrics: a plain number.
  const step = async (): Promise<number> => (await model.trainOnBatch(x, y)) as number;
  const optimizerBytes = (): number => floatBytes * sizeOf([...slots]);
  let slots: readonly tf.Tensor[] = [];
  return {
    parameters,
    step,
    async firstLoss() {
      const own = depth === 1 ? 0 : await numberOf(penalty(model));
      const loss = (await step()) - own;
      slots = (await optimizer.getWeights()).slice(1).map(({ tensor }) => tensor); // the first counts steps
      return loss;
    },
    optimizerBytes,
    async peakBytes() {
      const before = tf.memory().numBytes;
      const { peakBytes } = await tf.profile(step);
      return peakBytes - before + floatBytes * parameters + optimizerBytes();
    },
    async dispose() {
      model.dispose();
      optimizer.dispose();
      tf.dispose([x, y]);
    },
  };
}

const sizeOf = (tensors: readonly tf.Tensor[]): number => tensors.reduce((sum, { size }) => sum + size, 0);

async function numberOf(scalar: tf.Scalar): Promise<number> {
  const [value] = await scalar.data();
  scalar.dispose();
  return value!;
}
