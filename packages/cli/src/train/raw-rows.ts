import * as tf from "@tensorflow/tfjs";
import type { Examples, Scaling, Task } from "../data/task.ts";

/**
 * Lets a network that was trained on standardised rows take raw ones, exactly: with x = (raw − μ)/σ the first Dense layer's
 * W and b become W/σ and b − Σ_i μ_i W_i/σ_i, and with y = (target − m)/s the last one's become s·W and s·b + m. In place.
 *
 * @param kept columns that the first layer reads, where some were removed
 */
export async function takeRawRows(
  model: tf.LayersModel,
  { mean, deviation, target }: Scaling,
  kept: readonly number[] | undefined,
): Promise<void> {
  const dense = model.layers.filter((layer) => layer.getClassName() === "Dense");
  const [first, last] = [dense[0]!, dense.at(-1)!];
  const columns = kept ?? Array.from(mean.keys());
  await editDense(first, (kernel, bias, units) => {
    for (const [i, column] of columns.entries()) {
      for (let unit = 0; unit < units; unit++) {
        kernel[i * units + unit]! /= deviation[column]!;
        bias[unit]! -= mean[column]! * kernel[i * units + unit]!;
      }
    }
  });
  if (target.mean === 0 && target.deviation === 1) return;
  await editDense(last, (kernel, bias) => {
    for (let i = 0; i < kernel.length; i++) kernel[i]! *= target.deviation;
    for (let i = 0; i < bias.length; i++) bias[i] = bias[i]! * target.deviation + target.mean;
  });
}

/** Changes kernel and bias of a Dense layer in float64. */
async function editDense(
  layer: tf.layers.Layer,
  edit: (kernel: Float64Array, bias: Float64Array, units: number) => void,
): Promise<void> {
  const [kernelTensor, biasTensor] = layer.getWeights();
  if (!kernelTensor || !biasTensor)
    throw new Error(`unreachable: layer ${layer.name} has no kernel and bias`);
  const kernel = Float64Array.from(await kernelTensor.data());
  const bias = Float64Array.from(await biasTensor.data());
  edit(kernel, bias, bias.length);
  tf.tidy(() =>
    layer.setWeights([
      tf.tensor(Float32Array.from(kernel), kernelTensor.shape),
      tf.tensor(Float32Array.from(bias), biasTensor.shape),
    ]),
  );
}

/** The test examples in raw units. */
export function rawExamples({ test, scaling, inputShape }: Task): Examples {
  if (!scaling) return test;
  const width = inputShape[0]!;
  const { mean, deviation, target } = scaling;
  return {
    count: test.count,
    x: test.x.map((value, i) => value * deviation[i % width]! + mean[i % width]!),
    y: test.y.map((value) => value * target.deviation + target.mean),
  };
}
