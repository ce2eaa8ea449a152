import * as tf from "@tensorflow/tfjs";

const { layers } = tf;

/** LeNet-300-100 for 28×28 inputs. `l2` (optional) puts ordinary weight decay on the two hidden layers' weights. */
export function lenet300(l2) {
  const regular =
    l2 === undefined
      ? {}
      : { kernelRegularizer: tf.regularizers.l2({ l2 }), biasRegularizer: tf.regularizers.l2({ l2 }) };
  return tf.sequential({
    layers: [
      layers.dense({ inputShape: [784], units: 300, activation: "relu", name: "fc1", ...regular }),
      layers.dense({ units: 100, activation: "relu", name: "fc2", ...regular }),
      layers.dense({ units: 10, activation: "softmax", name: "out" }),
    ],
  });
}

/** LeNet-5 for 28×28 inputs. */
export function lenet5() {
  return tf.sequential({
    layers: [
      layers.reshape({ inputShape: [784], targetShape: [28, 28, 1] }),
      layers.conv2d({ filters: 6, kernelSize: 5, padding: "same", activation: "relu" }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.conv2d({ filters: 16, kernelSize: 5, activation: "relu" }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.flatten(),
      layers.dense({ units: 120, activation: "relu" }),
      layers.dense({ units: 84, activation: "relu" }),
      layers.dense({ units: 10, activation: "softmax" }),
    ],
  });
}

/** A batch that can be learnt: every class is a pattern under noise. Values in [0, 1], labels one-hot. */
export function randomBatch(size) {
  return tf.tidy(() => {
    const patterns = tf.randomUniform([10, 784], 0, 1, "float32", 1);
    const labels = tf.range(0, size, 1, "float32").mod(10).toInt();
    const noise = tf.randomUniform([size, 784], 0, 1, "float32", 2);
    return { x: tf.gather(patterns, labels).add(noise).div(2), y: tf.oneHot(labels, 10).toFloat() };
  });
}

/** Milliseconds of one training step, the loss read back; the loss. */
export async function timeStep(model, { x, y }) {
  const start = performance.now();
  const loss = await model.trainOnBatch(x, y);
  return { ms: performance.now() - start, loss: Array.isArray(loss) ? loss[0] : loss };
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
