import { parsePlan, randomGenerator } from "@dgate/core";
import { prune, readModel, writeModel } from "@dgate/onnx";
import { fc } from "@dgate/testing";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import {
  onnxOutputs,
  randomInputs,
  randomizeWeights,
  relativeDifference,
  tfjsOutputs,
  tolerance,
} from "../../test/support/onnx-outputs.ts";
import { toOnnx } from "../export/to-onnx.ts";
import { gate } from "../gating/gate.ts";
import { Gated } from "../gating/gated-layer.ts";
import { leafLayers } from "../gating/model-config.ts";
import type { GateOptions } from "../gating/rules.ts";
import { type Shrunk, shrink } from "./shrink.ts";

const l = tf.layers;
const on = (layer: tf.layers.Layer, x: tf.SymbolicTensor | tf.SymbolicTensor[]): tf.SymbolicTensor =>
  layer.apply(x) as tf.SymbolicTensor;
const input = (shape: number[], name = "x"): tf.SymbolicTensor => tf.input({ shape, name });
const model = (inputs: tf.SymbolicTensor | tf.SymbolicTensor[], outputs: tf.SymbolicTensor): tf.LayersModel =>
  tf.model({ inputs, outputs });

/** Closes the gates of the given groups, or of every group at random with the given probability (but never of all). */
function killGroups(
  gated: tf.LayersModel,
  choice: { seed: number; fraction: number } | Record<string, number[]>,
): void {
  const random = randomGenerator("seed" in choice && typeof choice.seed === "number" ? choice.seed : 0);
  for (const { layer } of leafLayers(gated)) {
    if (!(layer instanceof Gated)) continue;
    for (const { spec, set, gates } of layer.gated.sites) {
      if (!gates) continue;
      const all = Array.from({ length: set.groups }, (_, j) => j);
      const spared = random.integer(set.groups);
      const dead =
        "fraction" in choice && typeof choice.fraction === "number"
          ? all.filter((j) => j !== spared && random.next() < Number(choice.fraction))
          : ((choice as Record<string, number[]>)[spec.name] ?? []);
      const mask = tf.tensor(all.map((j) => (dead.includes(j) ? 0 : 1)));
      gates.write(tf.mul(gates.read(), mask));
    }
  }
}

/** Gates, kills, shrinks, and returns the differences that must vanish. */
async function shrinkage(
  plain: tf.LayersModel,
  { rules, ...options }: GateOptions,
  choice: Parameters<typeof killGroups>[1],
  { integers = false, seed = 5 } = {},
): Promise<Shrunk & { differences: { tfjs: number; onnx: number; gated: number } }> {
  randomizeWeights(plain, seed);
  const gated = gate(plain, { lambda: 1e-3, ...options, ...(rules ? { rules } : {}) });
  killGroups(gated, choice);
  // Only what was killed is to die, not what random weights happen to make small.
  const shrunk = await shrink(gated, { threshold: { relative: 0 } });
  const inputs = randomInputs(shrunk.masked, { seed, integers });
  const select = shrunk.report.inputs;
  const narrow = shrunk.masked.inputNames.map((name, i) => {
    const kept = select.find((selection) => selection.name === name);
    return kept ? tf.gather(inputs[i]!, [...kept.kept], kept.axis) : inputs[i]!;
  });
  const masked = tfjsOutputs(shrunk.masked, inputs);
  const onnx = await onnxOutputs(await toOnnx(shrunk.model, { select }), inputs, "web");
  const differences = {
    gated: relativeDifference(tfjsOutputs(gated, inputs), masked),
    tfjs: relativeDifference(masked, tfjsOutputs(shrunk.model, narrow)),
    onnx: relativeDifference(
      masked,
      onnx.map(({ data }) => data),
    ),
  };
  return { ...shrunk, differences };
}

function expectEqual({ differences }: Awaited<ReturnType<typeof shrinkage>>): void {
  expect(differences.gated).toBeLessThan(tolerance);
  expect(differences.tfjs).toBeLessThan(tolerance);
  expect(differences.onnx).toBeLessThan(tolerance);
}

/** Models with everything that may stand around a gated layer. */
const networks: Record<string, { build: () => tf.LayersModel; options?: GateOptions; integers?: boolean }> = {
  "an MLP": {
    build: () =>
      tf.sequential({
        layers: [
          l.dense({ units: 12, activation: "sigmoid", inputShape: [7], name: "a" }),
          l.dropout({ rate: 0.2 }),
          l.dense({ units: 9, activation: "tanh", useBias: false, name: "b" }),
          l.dense({ units: 3, useBias: false, name: "c" }),
        ],
      }),
  },
  "an MLP with dense layers over time": {
    build: () =>
      tf.sequential({
        layers: [
          l.dense({ units: 8, activation: "softplus", inputShape: [5, 4], name: "a" }),
          l.dense({ units: 6, activation: "gelu", name: "b" }),
          l.globalAveragePooling1d(),
          l.dense({ units: 2 }),
        ],
      }),
  },
  "a CNN with flatten": {
    build: () =>
      tf.sequential({
        layers: [
          l.conv2d({ filters: 8, kernelSize: 3, activation: "relu", inputShape: [10, 10, 2] }),
          l.maxPooling2d({ poolSize: 2 }),
          l.conv2d({ filters: 6, kernelSize: 3, activation: "sigmoid" }),
          l.flatten(),
          l.dense({ units: 10, activation: "elu" }),
          l.dense({ units: 3, activation: "softmax" }),
        ],
      }),
  },
  "a padded CNN": {
    build: () =>
      tf.sequential({
        layers: [
          l.conv2d({ filters: 8, kernelSize: 3, padding: "same", activation: "relu", inputShape: [8, 8, 2] }),
          l.averagePooling2d({ poolSize: 2 }),
          l.zeroPadding2d({ padding: 1 }),
          l.conv2d({ filters: 6, kernelSize: 3, padding: "same", strides: 2 }),
          l.globalAveragePooling2d({}),
          l.dense({ units: 3 }),
        ],
      }),
  },
  "dead filters that emit a constant into a padded convolution": {
    build: () =>
      tf.sequential({
        layers: [
          l.conv2d({
            filters: 8,
            kernelSize: 3,
            padding: "same",
            activation: "sigmoid",
            inputShape: [8, 8, 2],
          }),
          l.conv2d({ filters: 6, kernelSize: 3, padding: "same" }),
          l.globalMaxPooling2d({}),
          l.dense({ units: 3 }),
        ],
      }),
  },
  "batch normalisation": {
    build: () =>
      tf.sequential({
        layers: [
          l.conv2d({ filters: 8, kernelSize: 3, useBias: false, inputShape: [8, 8, 2] }),
          l.batchNormalization(),
          l.reLU(),
          l.conv2d({ filters: 6, kernelSize: 3, padding: "same" }),
          l.activation({ activation: "sigmoid" }),
          l.batchNormalization({ scale: false }),
          l.flatten(),
          l.dense({ units: 8 }),
          l.batchNormalization({ center: false }),
          l.dense({ units: 2 }),
        ],
      }),
  },
  "batch normalisation behind activation and pooling": {
    build: () =>
      tf.sequential({
        layers: [
          l.conv2d({ filters: 8, kernelSize: 3, activation: "relu", inputShape: [10, 10, 2] }),
          l.maxPooling2d({ poolSize: 2 }),
          l.batchNormalization(),
          l.conv2d({ filters: 6, kernelSize: 3 }),
          l.prelu({ sharedAxes: [1, 2] }),
          l.globalAveragePooling2d({}),
          l.batchNormalization(),
          l.dense({ units: 3 }),
        ],
      }),
  },
  "a residual network": {
    build: () => {
      const x = input([8, 8, 3]);
      const stem = on(l.conv2d({ filters: 6, kernelSize: 3, padding: "same", activation: "relu" }), x);
      let y = on(l.conv2d({ filters: 8, kernelSize: 3, padding: "same", activation: "relu" }), stem);
      y = on(l.conv2d({ filters: 6, kernelSize: 3, padding: "same" }), y);
      const sum = on(l.reLU(), on(l.add(), [stem, y]));
      return model(x, on(l.dense({ units: 3 }), on(l.globalAveragePooling2d({}), sum)));
    },
  },
  "depthwise convolutions": {
    build: () =>
      tf.sequential({
        layers: [
          l.conv2d({ filters: 8, kernelSize: 1, activation: "relu", inputShape: [8, 8, 3] }),
          l.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, activation: "relu" }),
          l.conv2d({ filters: 6, kernelSize: 1, activation: "relu" }),
          l.depthwiseConv2d({ kernelSize: 3, useBias: false }),
          l.flatten(),
          l.dense({ units: 3 }),
        ],
      }),
  },
  "separable convolutions": {
    build: () =>
      tf.sequential({
        layers: [
          l.separableConv2d({ filters: 8, kernelSize: 3, activation: "relu", inputShape: [9, 9, 3] }),
          l.separableConv2d({
            filters: 6,
            kernelSize: 3,
            depthMultiplier: 2,
            activation: "sigmoid",
            useBias: false,
          }),
          l.flatten(),
          l.dense({ units: 3 }),
        ],
      }),
  },
  "normalised depthwise and separable convolutions": {
    build: () =>
      tf.sequential({
        layers: [
          l.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, useBias: false, inputShape: [9, 9, 4] }),
          l.batchNormalization(),
          l.leakyReLU({ alpha: 0.1 }),
          l.separableConv2d({ filters: 6, kernelSize: 3, depthMultiplier: 2 }),
          l.batchNormalization(),
          l.prelu({ sharedAxes: [1, 2] }),
          l.conv2d({ filters: 5, kernelSize: 1 }),
          l.prelu(),
          l.flatten(),
          l.dense({ units: 3 }),
        ],
      }),
  },
  "a layer normalisation, which fixes the channels before it": {
    build: () =>
      tf.sequential({
        layers: [
          l.dense({ units: 8, activation: "relu", inputShape: [5, 4] }),
          l.dense({ units: 6 }),
          l.layerNormalization(),
          l.reshape({ targetShape: [3, 10] }),
          l.conv1d({ filters: 5, kernelSize: 2, activation: "relu" }),
          l.permute({ dims: [2, 1] }),
          l.flatten(),
          l.dense({ units: 2 }),
        ],
      }),
  },
  "transposed convolutions": {
    build: () =>
      tf.sequential({
        layers: [
          l.dense({ units: 24, activation: "relu", inputShape: [5] }),
          l.reshape({ targetShape: [2, 2, 6] }),
          l.conv2dTranspose({ filters: 5, kernelSize: 3, strides: 2, padding: "same", activation: "relu" }),
          l.conv2dTranspose({ filters: 4, kernelSize: 2, strides: 2, activation: "relu" }),
          l.upSampling2d({ size: [2, 2] }),
          l.conv2d({ filters: 2, kernelSize: 1 }),
        ],
      }),
  },
  "an embedding": {
    build: () =>
      tf.sequential({
        layers: [
          l.embedding({ inputDim: 9, outputDim: 8, inputLength: 6 }),
          l.conv1d({ filters: 7, kernelSize: 3, activation: "relu" }),
          l.globalMaxPooling1d({}),
          l.dense({ units: 2 }),
        ],
      }),
    integers: true,
  },
  "a concatenation": {
    build: () => {
      const x = input([8, 8, 3]);
      const left = on(l.conv2d({ filters: 5, kernelSize: 3, activation: "relu" }), x);
      const right = on(l.conv2d({ filters: 4, kernelSize: 3, activation: "sigmoid" }), x);
      const joined = on(l.concatenate(), [left, right]);
      const y = on(l.conv2d({ filters: 6, kernelSize: 3, activation: "relu" }), joined);
      return model(x, on(l.dense({ units: 3 }), on(l.flatten(), y)));
    },
  },
  "two inputs": {
    build: () => {
      const [a, b] = [input([6], "a"), input([4], "b")];
      const hidden = [on(l.dense({ units: 8, activation: "relu" }), a), on(l.dense({ units: 8 }), b)];
      return model([a, b], on(l.dense({ units: 3 }), on(l.multiply(), hidden)));
    },
  },
  "a shared layer": {
    build: () => {
      const [a, b] = [input([6], "a"), input([6], "b")];
      const shared = l.dense({ units: 8, activation: "relu" });
      const joined = on(l.concatenate(), [on(shared, a), on(shared, b)]);
      return model([a, b], on(l.dense({ units: 3 }), joined));
    },
  },
  "a nested model that is called twice": {
    build: () => {
      const x = input([6]);
      const body = tf.sequential({
        name: "body",
        layers: [
          l.dense({ units: 9, inputShape: [6], activation: "sigmoid", name: "wide" }),
          l.dense({ units: 6, activation: "relu", name: "narrow" }),
        ],
      });
      return model(x, on(l.dense({ units: 2 }), on(body, on(body, x))));
    },
  },
  "a nested model": {
    build: () => {
      const x = input([6]);
      const inner = tf.sequential({
        name: "inner",
        layers: [
          l.dense({ units: 7, inputShape: [8], activation: "relu", name: "body" }),
          l.dense({ units: 5 }),
        ],
      });
      const hidden = on(l.dense({ units: 8, activation: "relu", name: "outer" }), x);
      return model(x, on(l.dense({ units: 2 }), on(inner, hidden)));
    },
  },
};

describe("a shrunken model computes what the masked one computes, in tfjs and in onnxruntime-web", () => {
  test.for(Object.entries(networks))("%s", async ([, { build, options = {}, integers = false }]) => {
    const result = await shrinkage(build(), options, { seed: 3, fraction: 0.4 }, { integers });
    expectEqual(result);
    expect(result.report.after.parameters).toBeLessThan(result.report.before.parameters);
    expect(result.report.after.macs).toBeLessThan(result.report.before.macs);
    expect(result.model.countParams()).toBe(result.report.after.parameters);
    expect(result.masked.countParams()).toBe(result.report.before.parameters);
  });

  test("whichever groups die, in random networks", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(networks)),
        fc.nat(9999),
        fc.double({ min: 0.1, max: 0.95, noNaN: true }),
        async (name, seed, fraction) => {
          const { build, integers = false } = networks[name]!;
          const { differences } = await shrinkage(build(), {}, { seed, fraction }, { integers, seed });
          expect(Math.max(...Object.values(differences))).toBeLessThan(tolerance);
          tf.disposeVariables();
        },
      ),
      { numRuns: process.env["DGATE_NIGHTLY"] ? 400 : 25 },
    );
  }, 600_000);
});

const widths = (small: tf.LayersModel): Record<string, number | null | undefined> =>
  Object.fromEntries(small.layers.map(({ name, outputShape }) => [name, (outputShape as tf.Shape).at(-1)]));

/** A residual block whose branch can die; the last layer of the branch decides what constant it leaves. */
function residual(last: tf.layers.Layer): tf.LayersModel {
  const x = input([6, 6, 3]);
  const stem = on(l.conv2d({ filters: 5, kernelSize: 3, activation: "relu", name: "stem" }), x);
  let y = on(
    l.conv2d({ filters: 4, kernelSize: 3, padding: "same", activation: "relu", name: "first" }),
    stem,
  );
  y = on(
    l.conv2d({ filters: 5, kernelSize: 3, padding: "same", name: "second" }),
    on(l.dropout({ rate: 0.1 }), y),
  );
  y = on(last, y);
  const sum = on(l.add({ name: "sum" }), [stem, y]);
  return model(
    x,
    on(
      l.dense({ units: 2, name: "head" }),
      on(l.flatten({ name: "flat" }), on(l.reLU({ name: "relu" }), sum)),
    ),
  );
}

describe("what goes and what stays", () => {
  test("constants of dead neurons fold into biases, which appear where there were none", async () => {
    const plain = tf.sequential({
      layers: [
        l.dense({ units: 4, activation: "sigmoid", inputShape: [3], name: "a" }),
        l.dense({ units: 2, useBias: false, name: "b" }),
      ],
    });
    const result = await shrinkage(plain, {}, { "a.neurons": [1, 2] });
    expectEqual(result);
    expect(widths(result.model)).toEqual({ a: 2, b: 2 });
    const [, bias] = result.model.getLayer("b").getWeights();
    const [kernel] = plain.getLayer("b").getWeights();
    const offsets = plain.getLayer("a").getWeights()[1]!.dataSync();
    const emitted = [1, 2].map((j) => 1 / (1 + Math.exp(-offsets[j]!)));
    const rows = kernel!.arraySync() as number[][];
    const expected = [0, 1].map((i) => emitted[0]! * rows[1]![i]! + emitted[1]! * rows[2]![i]!);
    expect(
      relativeDifference([Float32Array.from(expected)], [Float32Array.from(bias!.dataSync())]),
    ).toBeLessThan(1e-6);
  });

  test("no bias appears where nothing is left to fold", async () => {
    const plain = tf.sequential({
      layers: [
        l.dense({ units: 4, activation: "relu", useBias: false, inputShape: [3], name: "a" }),
        l.dense({ units: 2, useBias: false, name: "b" }),
      ],
    });
    const result = await shrinkage(plain, {}, { "a.neurons": [0] });
    expectEqual(result);
    expect(result.model.getWeights().map(({ shape }) => shape)).toEqual([
      [3, 3],
      [3, 2],
    ]);
  });

  test("a dead input feature is no longer taken, and the ONNX model can still take full rows", async () => {
    const plain = tf.sequential({
      layers: [l.dense({ units: 4, inputShape: [6], activation: "tanh", name: "a" }), l.dense({ units: 2 })],
    });
    const rules = [{ layer: "a", site: "inputs" as const }];
    const result = await shrinkage(plain, { rules }, { "a.inputs": [1, 4] });
    expectEqual(result);
    expect(result.model.inputs[0]!.shape).toEqual([null, 4]);
    expect(result.report.inputs).toEqual([{ name: "a_input", axis: 1, size: 6, kept: [0, 2, 3, 5] }]);
  });

  test("dead rows of an inner kernel remove the neurons before it", async () => {
    const plain = tf.sequential({
      layers: [
        l.dense({ units: 5, inputShape: [3], activation: "relu", name: "a" }),
        l.dense({ units: 2, name: "b" }),
      ],
    });
    const result = await shrinkage(
      plain,
      {
        rules: [
          { layer: "b", site: "inputs" },
          { layer: "a", site: "none" },
        ],
      },
      { "b.inputs": [0, 3] },
    );
    expectEqual(result);
    expect(widths(result.model)).toEqual({ a: 3, b: 2 });
  });

  const wholeSecond = [
    { layer: "second", site: "layer" as const },
    { site: "none" as const, type: "Conv2D" },
  ];

  test("a branch that is dead as a whole disappears", async () => {
    const result = await shrinkage(residual(l.reLU()), { rules: wholeSecond }, { "second.layer": [0] });
    expectEqual(result);
    expect(result.model.layers.map(({ name }) => name)).toEqual(["x", "stem", "relu", "flat", "head"]);
  });

  test("what a dead branch emits stays as a normalisation", async () => {
    const last = l.activation({ activation: "sigmoid" });
    const result = await shrinkage(residual(last), { rules: wholeSecond }, { "second.layer": [0] });
    expectEqual(result);
    expect(result.model.layers.map(({ name }) => name)).toEqual(["x", "stem", "sum", "relu", "flat", "head"]);
    expect(result.model.getLayer("sum").getClassName()).toBe("BatchNormalization");
  });

  test("channels that a living branch still writes stay, and the report says so", async () => {
    const plain = residual(l.activation({ activation: "linear" }));
    const rules = [
      { layer: "second", site: "filters" as const },
      { site: "none" as const, type: "Conv2D" },
    ];
    const result = await shrinkage(plain, { rules }, { "second.filters": [1] });
    expectEqual(result);
    expect(result.report.keptBack).toMatchObject([{ site: "second.filters", groups: [1] }]);
    expect(result.report.warnings).toEqual([
      expect.stringMatching(/"second.filters": 1 dead group stays, because/),
    ]);
    expect(result.model.countParams()).toBe(result.masked.countParams());
  });

  test("of a site whose groups are all dead the strongest stays, with a warning", async () => {
    const plain = tf.sequential({
      layers: [l.dense({ units: 4, inputShape: [3], activation: "relu", name: "a" }), l.dense({ units: 2 })],
    });
    const result = await shrinkage(plain, {}, { "a.neurons": [0, 1, 2, 3] });
    expectEqual(result);
    expect(result.model.getLayer("a").outputShape).toEqual([null, 1]);
    expect(result.report.warnings).toEqual([expect.stringMatching(/"a.neurons": all 4 groups are under/)]);
  });

  test("a shared layer cannot take the constants of different neurons before it", async () => {
    const [a, b] = [input([3], "a"), input([3], "b")];
    const shared = l.dense({ units: 2, name: "shared" });
    const [left, right] = [a, b].map((x, i) =>
      on(shared, on(l.dense({ units: 4, activation: "sigmoid", name: `before_${i}` }), x)),
    );
    const plain = model([a, b], on(l.add(), [left!, right!]));
    const dead = { "before_0.neurons": [1], "before_1.neurons": [1] };
    const rules = [{ layer: "shared", site: "none" as const }];
    await expect(shrinkage(plain, { rules }, dead)).rejects.toThrow(/"shared" would need another bias/);
    expectEqual(await shrinkage(plain, { rules, bias: true }, dead));
  });

  test("neurons and input features of one layer die side by side", async () => {
    const plain = tf.sequential({
      layers: [
        l.dense({ units: 5, activation: "tanh", inputShape: [6], name: "a" }),
        l.dense({ units: 4, activation: "tanh", name: "b" }),
        l.dense({ units: 2, name: "c" }),
      ],
    });
    const rules = [{ layer: /^[ab]$/, site: ["neurons", "inputs"] as const }];
    const dead = { "a.inputs": [0, 5], "a.neurons": [1], "b.inputs": [1, 2], "b.neurons": [3] };
    const result = await shrinkage(plain, { rules }, dead);
    expectEqual(result);
    expect(result.model.inputs[0]!.shape).toEqual([null, 4]);
    expect(widths(result.model)).toEqual({ a: 3, b: 3, c: 2 });
  });

  test("a layer on the only way from input to output stays, one unit wide at least", async () => {
    const plain = tf.sequential({
      layers: [
        l.dense({ units: 5, activation: "sigmoid", inputShape: [3], name: "a" }),
        l.dense({ units: 4, activation: "sigmoid", name: "b" }),
        l.dense({ units: 2, name: "c" }),
      ],
    });
    const result = await shrinkage(
      plain,
      {
        rules: [
          { layer: "b", site: "layer" },
          { layer: "a", site: "none" },
        ],
      },
      { "b.layer": [0] },
    );
    expectEqual(result);
    expect(widths(result.model)["b"]).toBe(1);
  });

  test("the plan prunes the ONNX file of the masked model to the same function", async () => {
    const result = await shrinkage(networks["batch normalisation"]!.build(), {}, { seed: 4, fraction: 0.5 });
    const { graph } = prune(readModel(await toOnnx(result.masked)), parsePlan(JSON.stringify(result.plan)));
    const inputs = randomInputs(result.masked, { seed: 9 });
    const [pruned] = await onnxOutputs(writeModel(graph), inputs, "web");
    expect(relativeDifference(tfjsOutputs(result.masked, inputs), [pruned!.data])).toBeLessThan(tolerance);
    expect(result.model.countParams()).toBeLessThan(result.masked.countParams());
  });

  test("nothing but the two models is left in memory", async () => {
    const plain = networks["a residual network"]!.build();
    const gated = gate(plain, { lambda: 1e-3 });
    killGroups(gated, { seed: 1, fraction: 0.5 });
    const before = tf.memory().numTensors;
    const { model: small, masked } = await shrink(gated);
    small.dispose();
    masked.dispose();
    expect(tf.memory().numTensors).toBe(before);
    // No difference is small enough.
    await expect(shrink(gated, { tolerance: -1 })).rejects.toMatchObject({ code: "CHECK" });
    expect(tf.memory().numTensors).toBe(before);
  });

  test("without dead groups nothing changes", async () => {
    const plain = networks["a residual network"]!.build();
    const result = await shrinkage(plain, {}, { "nothing.neurons": [] });
    expectEqual(result);
    expect(result.plan.axes).toEqual([]);
    expect(result.model.countParams()).toBe(plain.countParams());
  });

  test("a relative threshold decides by the strongest group", async () => {
    const plain = tf.sequential({
      layers: [
        l.dense({ units: 3, inputShape: [2], useBias: false, name: "a" }),
        l.dense({ units: 1, name: "b" }),
      ],
    });
    plain.getLayer("a").setWeights([
      tf.tensor2d([
        [1, 0.3, 0.004],
        [0, 0.4, 0.003],
      ]),
    ]);
    const gated = gate(plain);
    const small = await shrink(gated);
    expect(small.report.sites).toMatchObject([{ site: "a.neurons", groups: 3, active: 2, near: 1 }]);
    expect((await shrink(gated, { threshold: { relative: 0.6 } })).report.sites[0]?.active).toBe(1);
  });

  test("a model without gates is refused", async () => {
    const plain = tf.sequential({ layers: [l.dense({ units: 1, inputShape: [2] })] });
    await expect(shrink(plain)).rejects.toMatchObject({ code: "NO_MATCH" });
  });

  test("the gated model is left as it is", async () => {
    const gated = gate(randomizeWeights(networks["an MLP"]!.build(), 2));
    const before = gated.getWeights().map((tensor) => tensor.dataSync());
    await shrink(gated, { threshold: { relative: 0.9 } });
    expect(gated.getWeights().map((tensor) => tensor.dataSync())).toEqual(before);
  });
});
