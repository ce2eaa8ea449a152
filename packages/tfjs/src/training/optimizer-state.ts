import { DgateError } from "@dgate/core";
import type * as tf from "@tensorflow/tfjs";

/** What the optimisers of tfjs keep; protected in the typings. */
interface OptimizerInternals {
  learningRate?: number;
  setLearningRate?(rate: number): void;
  accBeta1?: tf.Variable;
  accBeta2?: tf.Variable;
}

/** The learning rate of an optimiser, if it has one. */
export function learningRateOf(optimizer: tf.Optimizer): number | undefined {
  return internals(optimizer).learningRate;
}

/** Sets the learning rate from the next step on. */
export function setLearningRate(optimizer: tf.Optimizer, rate: number): void {
  if (!Number.isFinite(rate) || rate < 0) {
    throw new DgateError("OPTION", `learning rate is ${rate}, expected a finite number of at least 0.`);
  }
  const inside = internals(optimizer);
  // SGD and its children keep the rate as a tensor too, which only this method renews.
  if (inside.setLearningRate) inside.setLearningRate(rate);
  else if (inside.learningRate !== undefined) inside.learningRate = rate;
  else {
    throw new DgateError(
      "UNSUPPORTED",
      `optimizer ${optimizer.getClassName()} has no learning rate that could be scheduled.`,
    );
  }
}

/** The variables of an optimiser by name, in order: its slots, and Adam's running powers of β. */
export async function optimizerTensors(
  optimizer: tf.Optimizer,
): Promise<[name: string, tensor: tf.Tensor][]> {
  const slots = (await optimizer.getWeights()).map(({ name, tensor }): [string, tf.Tensor] => [
    `slot/${name}`,
    tensor,
  ]);
  const { accBeta1, accBeta2 } = internals(optimizer);
  const powers: [string, tf.Tensor | undefined][] = [
    ["power/beta1", accBeta1],
    ["power/beta2", accBeta2],
  ];
  return [...slots, ...powers.filter((entry): entry is [string, tf.Tensor] => entry[1] !== undefined)];
}

/**
 * Gives an optimiser the variables that `optimizerTensors` took from one of the same class. The powers of β are set as
 * they were: tfjs recomputes them by `pow`, which differs in the last bits from the product that it had.
 */
export async function restoreOptimizer(
  optimizer: tf.Optimizer,
  tensors: readonly (readonly [name: string, tensor: tf.Tensor])[],
): Promise<void> {
  const slots = tensors.filter(([name]) => name.startsWith("slot/"));
  await optimizer.setWeights(slots.map(([name, tensor]) => ({ name: name.slice("slot/".length), tensor })));
  const { accBeta1, accBeta2 } = internals(optimizer);
  for (const [name, tensor] of tensors) {
    if (name === "power/beta1") accBeta1?.assign(tensor);
    if (name === "power/beta2") accBeta2?.assign(tensor);
  }
}

function internals(optimizer: tf.Optimizer): OptimizerInternals {
  return optimizer as unknown as OptimizerInternals;
}
