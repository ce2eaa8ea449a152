import { gradientError } from "@dgate/testing";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { randomiseWeights, type SampleModel, sampleInput, sampleModels } from "../../test/sample-models.ts";
import { collapse, directPenalty, gate } from "./gate.ts";
import { type Gated, gatedLayers } from "./gated-layer.ts";
import { penalty } from "./inspect.ts";
import type { SiteKind } from "./site.ts";

const lambda = 0.3;

function square(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

function product(values: readonly number[]): number {
  return values.reduce((a, b) => a * b, 1);
}

/** Mean square of the outputs plus the penalties: what a training step would differentiate. */
function loss(model: tf.LayersModel, input: tf.Tensor): tf.Scalar {
  const outputs = model.apply(input, { training: true }) as tf.Tensor;
  const losses = model.calculateLosses();
  return [tf.mean<tf.Scalar>(tf.square(outputs)), ...losses].reduce((a, b) => tf.add(a, b));
}

/** Error of the tape's gradient against central differences, in all trained variables. */
function lossGradientError(model: tf.LayersModel, input: tf.Tensor): number {
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const { grads } = tf.variableGrads(() => loss(model, input), variables);
  const point = variables.map((variable) => Float64Array.from(variable.dataSync()));
  const gradient = variables.map((variable) => grads[variable.name]!.dataSync());
  const at = (values: readonly Float64Array[]): number => {
    for (const [i, variable] of variables.entries())
      variable.assign(tf.tensor(Float32Array.from(values[i]!), variable.shape));
    return tf.tidy(() => loss(model, input).dataSync()[0]!);
  };
  // float32: a step of 1e-2 balances rounding (1e-7 / 1e-2) against curvature (1e-4).
  const error = gradientError(at, point, gradient, { step: 1e-2, directions: 3 });
  at(point);
  return error;
}

function gatedSample(
  sample: SampleModel,
  kinds: readonly string[],
  depth: number,
  weights: "none" | "sqrt-size" = "none",
): tf.LayersModel {
  const rules = [{ layer: "gated", site: kinds as SiteKind[] }, { site: "none" as const }];
  const model = gate(sample.make(), { depth, lambda, rules, weights });
  randomiseWeights(model, 4);
  return model;
}

describe.each(sampleModels)("the loss of a gated $name", (sample) => {
  const several = sample.kinds.filter((kind) => kind !== "layer");
  const choices = [...sample.kinds.map((kind) => [kind]), ...(several.length > 1 ? [several] : [])];
  describe.each(choices.map((kinds) => ({ name: kinds.join(" and "), kinds })))("$name", ({ kinds }) => {
    // 3 rows gate Dense at its activation, 8 at its kernel.
    test.each([
      [2, 3],
      [3, 3],
      [3, 8],
      [4, 3],
    ])("has the gradient of its central differences at depth %i and %i rows", (depth, rows) => {
      const model = gatedSample(sample, kinds, depth);
      expect(lossGradientError(model, sampleInput(sample, rows))).toBeLessThan(3e-3);
    });
  });

  test.each([2, 3, 4])(
    "has the gradient of its central differences with weighted groups at depth %i",
    (depth) => {
      const model = gatedSample(sample, sample.kinds.slice(0, 1), depth, "sqrt-size");
      expect(lossGradientError(model, sampleInput(sample))).toBeLessThan(3e-3);
    },
  );

  test("has the gradient of its central differences under a direct penalty", () => {
    const rules = [{ layer: "gated", site: sample.kinds[0] as SiteKind }, { site: "none" as const }];
    for (const depth of [2, 3]) {
      const model = directPenalty(sample.make(), { depth, lambda, rules });
      randomiseWeights(model, 4);
      expect(lossGradientError(model, sampleInput(sample))).toBeLessThan(3e-3);
    }
  });
});

test("gating the activation and gating the kernel give the same outputs", () => {
  const sample = sampleModels[0]!;
  for (const kinds of [["neurons"], ["neurons", "inputs"]]) {
    const model = gatedSample(sample, kinds, 3);
    const input = sampleInput(sample, 8);
    const together = model.predict(input) as tf.Tensor;
    const apart = tf.concat(tf.split(input, 4).map((rows) => model.predict(rows) as tf.Tensor));
    expect(tf.max(tf.abs(tf.sub(together, apart))).dataSync()[0]).toBeLessThan(1e-5);
  }
});

test.each([2, 3, 4])("one SGD step of fit obeys the law of the imbalance at depth %i", async (depth) => {
  const [rate, strength] = [0.1, 0.2];
  const sample = sampleModels[0]!;
  const model = gate(sample.make(), { depth, lambda: strength, rules: [{ layer: "gated" }] });
  randomiseWeights(model, 9);
  const [x, y] = [sampleInput(sample, 4), tf.randomNormal([4, 2], 0, 1, "float32", 5)];
  const layer = gatedLayers(model)[0]!;
  const [site] = layer.gated.sites;
  const read = (): { omega: number[][]; gates: number[][] } => ({
    omega: tf.transpose(layer.primaries().get("kernel")!.read()).arraySync() as number[][],
    gates: site!.gates!.read().arraySync() as number[][],
  });
  const before = read();
  const slopes = kernelGradient(collapse(model), x, y);
  model.compile({ optimizer: tf.train.sgd(rate), loss: "meanSquaredError" });
  await model.fit(x, y, { epochs: 1, batchSize: 4 });
  const after = read();
  const c = 1 - (2 * rate * strength) / depth;
  for (const [j, omega] of before.omega.entries()) {
    const gates = before.gates.map((values) => values[j]!);
    const g = slopes[j]!;
    const aligned = omega.reduce((sum, value, i) => sum + value * g[i]!, 0);
    for (const [d, gamma] of gates.entries()) {
      const r = square(omega) - gamma * gamma;
      const others = product(gates.toSpliced(d, 1));
      const expected = c * c * r + rate * rate * (product(gates) ** 2 * square(g) - (others * aligned) ** 2);
      expect(square(after.omega[j]!) - after.gates[d]![j]! ** 2).toBeCloseTo(expected, 5);
    }
  }
});

/** ∇_w L₀ of the first layer's kernel, by neuron. */
function kernelGradient(plain: tf.LayersModel, x: tf.Tensor, y: tf.Tensor): number[][] {
  const kernel = plain.layers[0]!.weights[0]!.read() as tf.Variable;
  const { grads } = tf.variableGrads(
    () => tf.losses.meanSquaredError<tf.Tensor, tf.Scalar>(y, plain.predict(x) as tf.Tensor),
    [kernel],
  );
  return tf.transpose(grads[kernel.name]!).arraySync() as number[][];
}

test("two sites on one kernel penalise it once", () => {
  const model = gatedSample(sampleModels[0]!, ["neurons", "inputs"], 3);
  const [layer] = model.layers as [Gated];
  const squares = layer.gated.sites.map(({ gates }) => square([...gates!.read().dataSync()]));
  const kernel = square([...layer.primaries().get("kernel")!.read().dataSync()]);
  const expected = (lambda / 3) * (kernel + squares[0]! + squares[1]!);
  expect(penalty(model).dataSync()[0]).toBeCloseTo(expected, 5);
});
