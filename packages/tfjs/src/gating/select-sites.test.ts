import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { randomiseWeights } from "../../test/sample-models.ts";
import { collapse, gate } from "./gate.ts";
import { gatedSites, penalty } from "./inspect.ts";
import type { GateOptions } from "./rules.ts";

const { layers } = tf;

function mlp(): tf.LayersModel {
  return tf.sequential({
    layers: [
      layers.dense({ units: 4, activation: "relu", inputShape: [3], name: "first" }),
      layers.dense({ units: 3, activation: "relu", name: "second" }),
      layers.dense({ units: 2, name: "logits" }),
      layers.activation({ activation: "softmax", name: "softmax" }),
    ],
  });
}

/** conv → BN → ReLU → depthwise conv → BN → conv with its own bias, all before a Dense output. */
function convolutional(): tf.LayersModel {
  return tf.sequential({
    layers: [
      layers.conv2d({ filters: 3, kernelSize: 3, inputShape: [6, 6, 1], useBias: false, name: "conv_1" }),
      layers.batchNormalization({ name: "bn_1" }),
      layers.reLU(),
      layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, name: "dw_1" }),
      layers.activation({ activation: "relu" }),
      layers.batchNormalization({ name: "bn_2" }),
      layers.conv2d({ filters: 2, kernelSize: 1, name: "conv_2" }),
      layers.flatten(),
      layers.dense({ units: 2, name: "out" }),
    ],
  });
}

function members(weights: readonly string[], layer: string, blockSize = 1): object[] {
  return weights.map((weight) => ({ layer, weight, axis: weight === "kernel" ? 3 : 0, blockSize }));
}

const siteNames = (model: tf.LayersModel): string[] => gatedSites(model).map(({ name }) => name);

describe("the choice of sites", () => {
  test("takes hidden units by default and leaves the outputs, past their activation", () => {
    expect(siteNames(gate(mlp()))).toEqual(["first.neurons", "second.neurons"]);
    expect(gatedSites(gate(mlp()))[0]).toEqual({
      name: "first.neurons",
      kind: "neurons",
      layer: "first",
      groups: 4,
      method: "gates",
      depth: 3,
      lambda: 1e-4,
      members: [{ layer: "first", weight: "kernel", axis: 1, blockSize: 1 }],
    });
  });

  test("moves gates onto the BatchNormalization behind a layer, in blocks of its depth multiplier", () => {
    const model = convolutional();
    randomiseWeights(model);
    const gated = gate(model, { depth: 2 });
    expect(
      gatedSites(gated).map(({ name, kind, groups, members: all }) => ({ name, kind, groups, all })),
    ).toEqual([
      { name: "conv_1.filters", kind: "filters", groups: 3, all: members(["gamma", "beta"], "bn_1") },
      { name: "dw_1.channels", kind: "channels", groups: 3, all: members(["gamma", "beta"], "bn_2", 2) },
      { name: "conv_2.filters", kind: "filters", groups: 2, all: members(["kernel", "bias"], "conv_2") },
    ]);
    const input = tf.randomNormal([2, 6, 6, 1], 0, 1, "float32", 3);
    const outputs = [model, gated, collapse(gated)].map((each) => each.predict(input) as tf.Tensor);
    for (const output of outputs) {
      expect(tf.max(tf.abs(tf.sub(output, outputs[0]!))).dataSync()[0]).toBeLessThan(1e-5);
    }
  });

  test("follows rules: the first that matches wins, and what it leaves out comes from the options", () => {
    const gated = gate(mlp(), {
      lambda: 0.5,
      rules: [
        { layer: "first", site: ["neurons", "inputs"], depth: 4 },
        { layer: /^second$/, lambda: 0.1, bias: true },
        { type: "Dense", site: "layer", depth: 2 },
      ],
    });
    expect(gatedSites(gated).map(({ name, depth, lambda }) => [name, depth, lambda])).toEqual([
      ["first.neurons", 4, 0.5],
      ["first.inputs", 4, 0.5],
      ["second.neurons", 3, 0.1],
      ["logits.layer", 2, 0.5],
    ]);
    expect(gatedSites(gated)[2]!.members.map(({ weight }) => weight)).toEqual(["kernel", "bias"]);
  });

  test("gates a BatchNormalization by itself only when asked, and refuses to gate one twice", () => {
    const rules = [{ layer: "bn_1", site: "scale" as const }];
    expect(() => gate(convolutional(), { rules })).toThrow(/"bn_1" would be gated twice/);
    const alone = gate(convolutional(), { rules: [...rules, { site: "none" }] });
    expect(siteNames(alone)).toEqual(["bn_1.scale"]);
  });

  test("reaches into nested models and branches, and counts a shared layer's penalty once", () => {
    const block = tf.sequential({
      name: "block",
      layers: [layers.dense({ units: 3, inputShape: [2], name: "inner" })],
    });
    const input = tf.input({ shape: [2] });
    const shared = layers.dense({ units: 2, name: "shared" });
    const merged = layers
      .add()
      .apply([
        shared.apply(input) as tf.SymbolicTensor,
        shared.apply(shared.apply(input)) as tf.SymbolicTensor,
      ]) as tf.SymbolicTensor;
    const output = layers.dense({ units: 1 }).apply(block.apply(merged)) as tf.SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: output });
    const gated = gate(model, { lambda: 0.3, initialisation: "ones" });
    expect(siteNames(gated)).toEqual(["shared.neurons", "block/inner.neurons"]);
    const rows = tf.randomNormal([4, 2], 0, 1, "float32", 1);
    const [a, b] = [model.predict(rows), gated.predict(rows)] as [tf.Tensor, tf.Tensor];
    expect(tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]).toBeLessThan(1e-6);
    const squares = [shared, block.layers[0]!].map(
      (layer) => tf.sum(tf.square(layer.weights[0]!.read())).dataSync()[0]!,
    );
    expect(total(gated)).toBeCloseTo(0.1 * (squares[0]! + squares[1]! + 2 * 2 + 2 * 3), 5);
  });
});

/** A network around a nested model; `body` is called twice. */
function nested(): { model: tf.LayersModel; body: tf.LayersModel } {
  const kernelRegularizer = tf.regularizers.l2({ l2: 0.5 });
  const body = tf.sequential({
    name: "body",
    layers: [
      layers.dense({ units: 3, inputShape: [2], name: "wide" }),
      layers.dense({ units: 2, name: "narrow", kernelRegularizer }),
    ],
  });
  const input = tf.input({ shape: [2] });
  const twice = body.apply(body.apply(input)) as tf.SymbolicTensor;
  const hidden = layers.dense({ units: 4, name: "hidden" }).apply(twice) as tf.SymbolicTensor;
  return {
    model: tf.model({
      inputs: input,
      outputs: layers.dense({ units: 1 }).apply(hidden) as tf.SymbolicTensor,
    }),
    body,
  };
}

function total(model: tf.LayersModel): number {
  return model.calculateLosses().reduce((sum, loss) => sum + loss.dataSync()[0]!, 0);
}

describe("nested models", () => {
  test("a rule that names one speaks of all its layers", () => {
    const gated = gate(nested().model, { rules: [{ layer: "body", depth: 2 }] });
    expect(gatedSites(gated).map(({ name, depth }) => [name, depth])).toEqual([
      ["body/wide.neurons", 2],
      ["body/narrow.neurons", 2],
      ["hidden.neurons", 3],
    ]);
    expect(siteNames(gate(nested().model, { rules: [{ layer: "body", site: "none" }] }))).toEqual([
      "hidden.neurons",
    ]);
    expect(() => gate(nested().model, { rules: [{ layer: "wide", site: "filters" }] })).toThrow(
      /body\/wide \(Dense\), body\/narrow \(Dense\), hidden \(Dense\)/,
    );
  });

  test("one that is called twice is penalised once; its regularizers count as in the plain model", () => {
    const { model } = nested();
    randomiseWeights(model);
    const gated = gate(model, { lambda: 0.3 });
    expect(total(gated)).toBeCloseTo(penalty(gated).dataSync()[0]! + total(model), 4);
    expect(total(model)).toBeGreaterThan(0.1);
  });

  test("one that is frozen stays as it is", () => {
    const { model, body } = nested();
    body.trainable = false;
    const gated = gate(model);
    expect(siteNames(gated)).toEqual(["hidden.neurons"]);
    // The kernel, bias and gates of the hidden layer, and the weights of the output.
    expect(gated.trainableWeights).toHaveLength(5);
    expect(collapse(gated).trainableWeights).toHaveLength(4);
  });

  test("units that pass through one without units of its own to the outputs are not gated", () => {
    const head = tf.sequential({
      name: "head",
      layers: [layers.activation({ activation: "softmax", inputShape: [2] })],
    });
    const model = tf.sequential({ layers: [...mlp().layers.slice(0, 3), head] });
    expect(siteNames(gate(model))).toEqual(["first.neurons", "second.neurons"]);
  });
});

test("channels that a depthwise convolution hands on to the outputs are not gated", () => {
  const model = tf.sequential({
    layers: [
      layers.conv2d({ filters: 2, kernelSize: 1, inputShape: [4, 4, 1], name: "inner" }),
      layers.conv2d({ filters: 3, kernelSize: 1, name: "last" }),
      layers.depthwiseConv2d({ kernelSize: 2, name: "depthwise" }),
      layers.globalAveragePooling2d({}),
    ],
  });
  expect(siteNames(gate(model))).toEqual(["inner.filters"]);
});

test("gates move onto a BatchNormalization behind activation and pooling, too", () => {
  const model = tf.sequential({
    layers: [
      layers.conv2d({ filters: 3, kernelSize: 3, activation: "relu", inputShape: [6, 6, 1], name: "conv" }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.batchNormalization({ name: "bn" }),
      layers.flatten(),
      layers.dense({ units: 2 }),
    ],
  });
  expect(gatedSites(gate(model))).toMatchObject([
    { name: "conv.filters", members: members(["gamma", "beta"], "bn") },
  ]);
});

describe("gate refuses", () => {
  const cases: [
    what: string,
    model: () => tf.LayersModel,
    options: GateOptions,
    code: string,
    message: RegExp,
  ][] = [
    [
      "a model without gateable layers",
      () =>
        tf.sequential({
          layers: [layers.flatten({ inputShape: [2, 2] }), layers.dense({ units: 1, name: "d" })],
        }),
      {},
      "NO_MATCH",
      /nothing to gate: its layers are .* d \(Dense\)/,
    ],
    ["depth 1", mlp, { depth: 1 }, "OPTION", /depth is 1/],
    ["depth 2.5", mlp, { depth: 2.5 }, "OPTION", /depth is 2.5/],
    ["negative lambda", mlp, { lambda: -1 }, "OPTION", /lambda is -1/],
    ["lambda NaN", mlp, { lambda: Number.NaN }, "OPTION", /lambda is NaN/],
    ["lambda NaN in a rule", mlp, { rules: [{ lambda: Number.NaN }] }, "OPTION", /rules\[0\]: lambda is NaN/],
    [
      "a rule that matches nothing",
      mlp,
      { rules: [{ layer: "frist" }] },
      "NO_MATCH",
      /layer: frist .*first \(Dense\)/,
    ],
    [
      "a rule for the outputs",
      mlp,
      { rules: [{ layer: "logits", site: "neurons" }] },
      "NO_MATCH",
      /outputs of the model/,
    ],
    [
      "recurrent layers",
      () =>
        tf.sequential({
          layers: [layers.lstm({ units: 2, inputShape: [3, 2], name: "memory" }), layers.dense({ units: 1 })],
        }),
      {},
      "UNSUPPORTED",
      /"memory" is a LSTM.*site: "none"/,
    ],
    [
      "constrained weights",
      () =>
        tf.sequential({
          layers: [
            layers.dense({ units: 2, inputShape: [2], kernelConstraint: "nonNeg", name: "a" }),
            layers.dense({ units: 1 }),
          ],
        }),
      {},
      "UNSUPPORTED",
      /kernelConstraint of layer "a"/,
    ],
    ["a misspelt option", mlp, { lamda: 1 } as GateOptions, "OPTION", /no "lamda", expected depth, lambda/],
    [
      "a misspelt key of a rule",
      mlp,
      { rules: [{ name: "first" } as object] },
      "OPTION",
      /rules\[0\]: .*layer, type/,
    ],
    [
      "an initialisation that is none",
      mlp,
      { initialisation: "one" as "ones" },
      "OPTION",
      /"one", expected balanced, ones, variance-matched/,
    ],
    [
      "the scale of a normalisation without one",
      () =>
        tf.sequential({
          layers: [
            layers.batchNormalization({ scale: false, inputShape: [3], name: "bn" }),
            layers.dense({ units: 1 }),
          ],
        }),
      { rules: [{ layer: "bn", site: "scale" }] },
      "GROUP",
      /"bn": .*"gamma".*site: "none"/,
    ],
    ["a gated model", () => gate(mlp()), {}, "OPTION", /gated already/],
    ["a model without layers", () => tf.sequential(), {}, "SHAPE", /inputShape/],
    [
      "group weights where sites share a kernel",
      mlp,
      { weights: "sqrt-size", rules: [{ layer: "first", site: ["neurons", "inputs"] }] },
      "OPTION",
      /share their penalty/,
    ],
  ];
  test.each(cases)("%s", (_, model, options, code, message) => {
    expect(() => gate(model(), options)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }),
    );
  });

  test("recurrent layers, unless a rule leaves them out", () => {
    const model = tf.sequential({
      layers: [
        layers.lstm({ units: 2, inputShape: [3, 2], name: "memory" }),
        layers.dense({ units: 3, name: "hidden" }),
        layers.dense({ units: 1 }),
      ],
    });
    expect(siteNames(gate(model, { rules: [{ layer: "memory", site: "none" }] }))).toEqual([
      "hidden.neurons",
    ]);
  });
});

test("layers with trainable: false stay ungated", () => {
  const model = mlp();
  model.layers[0]!.trainable = false;
  expect(siteNames(gate(model))).toEqual(["second.neurons"]);
  expect(() => gate(model, { rules: [{ layer: "first" }] })).toThrow(/trainable: false/);
});

test("regularizers of a gated layer apply to the collapsed weights", () => {
  const model = tf.sequential({
    layers: [
      layers.dense({
        units: 3,
        inputShape: [2],
        kernelRegularizer: tf.regularizers.l2({ l2: 0.5 }),
        biasRegularizer: tf.regularizers.l2({ l2: 0.25 }),
      }),
      layers.dense({ units: 1 }),
    ],
  });
  randomiseWeights(model);
  const plain = model.calculateLosses().map((loss) => loss.dataSync()[0]!);
  const gated = gate(model, { depth: 3, lambda: 0 })
    .calculateLosses()
    .map((loss) => loss.dataSync()[0]!);
  expect(gated).toEqual([0, expect.closeTo(plain[0]!, 5), expect.closeTo(plain[1]!, 5)]);
});
