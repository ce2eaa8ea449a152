import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { sampleInput, sampleModels } from "../../test/sample-models.ts";
import { train } from "../training/train.ts";
import { collapse, directPenalty, gate } from "./gate.ts";
import { gatedSites, setLambda } from "./inspect.ts";
import type { SiteKind } from "./site.ts";

/** Saves and loads through the artifacts that io handlers exchange, as JSON text where they are written as such. */
async function reload(model: tf.LayersModel): Promise<tf.LayersModel> {
  let saved: tf.io.ModelArtifacts = {};
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" as const } };
    }),
  );
  const modelTopology = JSON.parse(JSON.stringify(saved.modelTopology)) as object;
  return tf.loadLayersModel(tf.io.fromMemory({ ...saved, modelTopology }));
}

const values = (model: tf.LayersModel): number[][] =>
  model.getWeights().map((weight) => [...weight.dataSync()]);

function compile(model: tf.LayersModel): tf.LayersModel {
  model.compile({ optimizer: tf.train.sgd(0.05), loss: "meanSquaredError" });
  return model;
}

describe.each(sampleModels)("a gated $name", (sample) => {
  test.each(sample.kinds)("saves and loads with its %s, then trains on to the same weights", async (kind) => {
    const rules = [{ layer: "gated", site: kind as SiteKind }, { site: "none" as const }];
    const gated = compile(gate(sample.make(), { depth: 3, lambda: 0.01, rules }));
    const [x, y] = [sampleInput(sample, 6), tf.randomNormal([6, 2], 0, 1, "float32", 2)];
    await train(gated, { x, y, epochs: 1, batchSize: 3 });
    setLambda(gated, 0.02);
    const loaded = compile(await reload(gated));
    expect(values(loaded)).toEqual(values(gated));
    expect(gatedSites(loaded)).toEqual(gatedSites(gated));
    for (const model of [gated, loaded]) await train(model, { x, y, epochs: 2, batchSize: 3 });
    expect(values(loaded)).toEqual(values(gated));
  });
});

test("a gated layer that is frozen is saved with its gates, and stays frozen", async () => {
  const gated = gate(sampleModels[0]!.make());
  gated.layers[0]!.trainable = false;
  const loaded = await reload(gated);
  expect(loaded.weights.map(({ shape }) => shape)).toEqual(gated.weights.map(({ shape }) => shape));
  expect(loaded.trainableWeights).toHaveLength(2);
  const rows = sampleInput(sampleModels[0]!);
  const outputs = [gated, loaded].map((model) => [...(model.predict(rows) as tf.Tensor).dataSync()]);
  expect(outputs[1]).toEqual(outputs[0]);
});

test("functional and nested models, sites on a BatchNormalization and direct penalties survive saving", async () => {
  const input = tf.input({ shape: [4, 4, 2], name: "image_in" });
  const block = tf.sequential({
    name: "my_block",
    layers: [
      tf.layers.conv2d({ filters: 3, kernelSize: 2, inputShape: [4, 4, 2], name: "conv_a" }),
      tf.layers.batchNormalization({ name: "bn_a" }),
    ],
  });
  const pooled = tf.layers.globalAveragePooling2d({}).apply(block.apply(input)) as tf.SymbolicTensor;
  const output = tf.layers.dense({ units: 1 }).apply(pooled) as tf.SymbolicTensor;
  const model = tf.model({ inputs: input, outputs: output });
  for (const gated of [gate(model, { weights: "sqrt-size" }), directPenalty(model)]) {
    const loaded = await reload(gated);
    expect(gatedSites(loaded)).toEqual(gatedSites(gated));
    expect(gatedSites(loaded)[0]!.name).toBe("my_block/conv_a.filters");
    const rows = tf.randomNormal([2, 4, 4, 2], 0, 1, "float32", 4);
    const outputs = [gated, loaded, collapse(loaded)].map((each) =>
      (each.predict(rows) as tf.Tensor).dataSync(),
    );
    expect([...outputs[1]!]).toEqual([...outputs[0]!]);
    for (const [i, value] of outputs[0]!.entries()) expect(outputs[2]![i]).toBeCloseTo(value, 5);
  }
});
