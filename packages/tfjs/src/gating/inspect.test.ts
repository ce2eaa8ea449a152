import { arrayOps, defineGroups, ndArray, smoothPenalty, sparsePenalty } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { randomiseWeights } from "../../test/sample-models.ts";
import { collapse, directPenalty, gate } from "./gate.ts";
import { groupNorms, penalty, setLambda, siteReports } from "./inspect.ts";

function network(): tf.LayersModel {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 4, inputShape: [3], activation: "relu", name: "a" }),
      tf.layers.dense({ units: 5, activation: "relu", name: "b" }),
      tf.layers.dense({ units: 2, name: "out" }),
    ],
  });
  randomiseWeights(model);
  return model;
}

const scalar = (tensor: tf.Tensor): number => tensor.dataSync()[0]!;

describe.each([2, 3, 4])("at depth %i", (depth) => {
  test("the penalty is core's in float64, and equals the sparse one at a balanced start", async () => {
    const gated = gate(network(), { depth, lambda: 0.2, weights: "sqrt-size" });
    const balanced = await siteReports(gated);
    for (const { gap, sparse, imbalance } of balanced) {
      expect(gap).toBeLessThan(1e-5 * sparse);
      expect(imbalance).toBeLessThan(1e-4);
    }
    randomiseWeights(gated, 3);
    const ops = arrayOps("float64");
    const [primary, , gates] = gated.layers[0]!.getWeights();
    const set = defineGroups([{ name: "w", shape: [3, 4], layout: { kind: "axis", axis: 1 } }], {
      weights: "sqrt-size",
    });
    const factors = {
      primary: [ndArray(Float64Array.from(primary!.dataSync()), [3, 4])],
      gates: tf.unstack(gates!).map((row) => ndArray(Float64Array.from(row.dataSync()), [4])),
    };
    const reports = await siteReports(gated);
    expect(reports.map(({ site, groups }) => [site, groups])).toEqual([
      ["a.neurons", 4],
      ["b.neurons", 5],
    ]);
    expect(reports[0]!.smooth).toBeCloseTo(smoothPenalty(ops, set, factors, 0.2).data[0]!, 10);
    expect(scalar(penalty(gated))).toBeCloseTo(reports[0]!.smooth + reports[1]!.smooth, 4);
    for (const { smooth, sparse, gap } of reports) {
      expect(gap).toBeGreaterThan(0);
      expect(smooth - sparse).toBeCloseTo(gap, 8);
    }
  });

  test("a direct penalty is the sparse one, of the same groups", async () => {
    const direct = directPenalty(network(), { depth, lambda: 0.2 });
    const ops = arrayOps("float64");
    const kernel = ndArray(Float64Array.from(direct.layers[0]!.getWeights()[0]!.dataSync()), [3, 4]);
    const set = defineGroups([{ name: "w", shape: [3, 4], layout: { kind: "axis", axis: 1 } }]);
    const reports = await siteReports(direct);
    expect(reports[0]).toMatchObject({ site: "a.neurons", groups: 4, gap: 0, imbalance: 0 });
    expect(reports[0]!.sparse).toBeCloseTo(sparsePenalty(ops, set, [kernel], 0.2, depth).data[0]!, 10);
    expect(scalar(penalty(direct))).toBeCloseTo(reports[0]!.sparse + reports[1]!.sparse, 4);
  });
});

test("group norms are those of the collapsed weights", async () => {
  const gated = gate(network(), { bias: true });
  randomiseWeights(gated, 5);
  const norms = await groupNorms(gated);
  const [kernel, bias] = collapse(gated).layers[0]!.getWeights();
  const expected = tf.sqrt(tf.add(tf.sum(tf.square(kernel!), 0), tf.square(bias!))).dataSync();
  for (const [j, norm] of norms.get("a.neurons")!.entries()) expect(norm).toBeCloseTo(expected[j]!, 5);
  expect([...norms.keys()]).toEqual(["a.neurons", "b.neurons"]);
});

test("fit reports the penalty as part of the loss, and validates without it", async () => {
  const gated = gate(network(), { lambda: 0.5 });
  gated.compile({ optimizer: tf.train.sgd(0), loss: "meanSquaredError" });
  const [x, y] = [tf.randomNormal([6, 3], 0, 1, "float32", 1), tf.randomNormal([6, 2], 0, 1, "float32", 2)];
  const { history } = await gated.fit(x, y, { epochs: 1, batchSize: 6, validationData: [x, y] });
  const data = scalar(tf.losses.meanSquaredError(y, gated.predict(x) as tf.Tensor));
  expect(history["loss"]![0]).toBeCloseTo(data + scalar(penalty(gated)), 4);
  expect(history["val_loss"]![0]).toBeCloseTo(data, 4);
});

test("a custom loop with penalty() takes the step that fit takes", async () => {
  const [x, y] = [tf.randomNormal([6, 3], 0, 1, "float32", 1), tf.randomNormal([6, 2], 0, 1, "float32", 2)];
  const models = [network(), network()].map((model) => gate(model, { lambda: 0.1 }));
  models[0]!.compile({ optimizer: tf.train.sgd(0.1), loss: "meanSquaredError" });
  await models[0]!.fit(x, y, { epochs: 1, batchSize: 6 });
  const custom = models[1]!;
  const variables = custom.trainableWeights.map((weight) => weight.read() as tf.Variable);
  tf.train.sgd(0.1).minimize(
    () => {
      const outputs = custom.apply(x, { training: true }) as tf.Tensor;
      return tf.add<tf.Scalar>(tf.losses.meanSquaredError(y, outputs), penalty(custom));
    },
    false,
    variables,
  );
  const values = models.map((model) => model.getWeights().flatMap((weight) => [...weight.dataSync()]));
  for (const [i, value] of values[0]!.entries()) expect(values[1]![i]).toBeCloseTo(value, 6);
});

test("setLambda changes the named sites, and refuses bad values and names", () => {
  const gated = gate(network(), { lambda: 1 });
  const whole = scalar(penalty(gated));
  setLambda(gated, 0, ["a.neurons"]);
  const part = scalar(penalty(gated));
  expect(part).toBeLessThan(whole);
  setLambda(gated, 2, ["b.neurons"]);
  expect(scalar(penalty(gated))).toBeCloseTo(2 * part, 4);
  expect(() => setLambda(gated, -1)).toThrow(/lambda is -1/);
  expect(() => setLambda(gated, Number.NaN)).toThrow(/lambda is NaN/);
  expect(() => setLambda(gated, 1, ["c.neurons"])).toThrow(/no site "c.neurons".*a.neurons, b.neurons/);
  expect(() => penalty(network())).toThrow(/has no gates/);
});

test("looking at a model leaves no tensors behind", async () => {
  const gated = gate(network());
  const before = tf.memory().numTensors;
  await siteReports(gated);
  await groupNorms(gated);
  penalty(gated).dispose();
  (gated.predict(tf.zeros([1, 3])) as tf.Tensor).dispose();
  // The input of predict.
  expect(tf.memory().numTensors).toBe(before + 1);
});

test("groups of zeros start with gates of one, so that they can learn", async () => {
  const model = network();
  const [kernel, ...rest] = model.layers[0]!.getWeights();
  model.layers[0]!.setWeights([tf.mul(kernel!, tf.tensor1d([1, 0, 1, 1])), ...rest]);
  const gated = gate(model, { depth: 3 });
  const gates = gated.layers[0]!.getWeights()[2]!.arraySync() as number[][];
  expect([gates[0]![1], gates[1]![1]]).toEqual([1, 1]);
});

function drawnGates(seed: number): number[] {
  const gated = gate(network(), { initialisation: "variance-matched", seed });
  return [...gated.layers[0]!.getWeights()[2]!.dataSync()];
}

test("variance-matched gates are drawn from the seed", () => {
  expect(drawnGates(1)).toEqual(drawnGates(1));
  expect(drawnGates(1)).not.toEqual(drawnGates(2));
});
