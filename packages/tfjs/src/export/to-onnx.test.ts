import { fc } from "@dgate/testing";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { build as bundle } from "esbuild";
import { describe, expect, test } from "vitest";
import config from "../../tsup.config.ts";
import {
  exportDifference,
  onnxOutputs,
  randomInputs,
  randomizeWeights,
  relativeDifference,
  tfjsOutputs,
  tolerance,
} from "../../test/support/onnx-outputs.ts";
import { gate } from "../gating/gate.ts";
import { packageVersion } from "./model-info.ts";
import { toGraph, toOnnx } from "./to-onnx.ts";

const l = tf.layers;

/** `layer(x)` with the type that a single output has. */
const on = (layer: tf.layers.Layer, x: tf.SymbolicTensor | tf.SymbolicTensor[]): tf.SymbolicTensor =>
  layer.apply(x) as tf.SymbolicTensor;

async function initializerNames(model: tf.LayersModel): Promise<string[]> {
  const { graph } = await toGraph(model);
  return graph.initializers.map(({ name }) => name);
}

/** A small residual network with batch normalisation and a concatenation of two branches. */
function residualNetwork(): tf.LayersModel {
  const input = tf.input({ shape: [12, 12, 3], name: "image" });
  let x = on(l.conv2d({ filters: 8, kernelSize: 3, padding: "same", useBias: false, name: "stem" }), input);
  x = on(l.batchNormalization({ name: "stem_bn" }), x);
  x = on(l.reLU({ name: "stem_relu" }), x);
  let y = on(l.conv2d({ filters: 8, kernelSize: 3, padding: "same", activation: "relu", name: "a" }), x);
  y = on(l.conv2d({ filters: 8, kernelSize: 3, padding: "same", name: "b" }), y);
  x = on(l.add({ name: "sum" }), [x, y]);
  const left = on(l.maxPooling2d({ poolSize: 2, name: "left" }), x);
  const right = on(l.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: "same", name: "right" }), x);
  x = on(l.concatenate({ name: "joined" }), [left, right]);
  x = on(l.dropout({ rate: 0.3, name: "dropped" }), x);
  x = on(l.flatten({ name: "flat" }), x);
  return tf.model({
    name: "residual",
    inputs: input,
    outputs: on(l.dense({ units: 5, activation: "softmax", name: "classes" }), x),
  });
}

describe("whole models", () => {
  test("a convolutional network with normalisation, residual and concatenation", async () => {
    expect(await exportDifference(residualNetwork())).toBeLessThan(tolerance);
  });

  test("transposes stand at the borders only", async () => {
    const { graph } = await toGraph(residualNetwork());
    const around = graph
      .nodes("Transpose")
      .map((node) => [node.inputs[0]?.name, graph.uses(node.outputs[0]!).map((use) => use.node?.op)]);
    expect(around).toEqual([
      ["image", ["Conv"]],
      ["joined_output_0", ["Flatten"]],
    ]);
  });

  test("several inputs and outputs keep their names and order", async () => {
    const image = tf.input({ shape: [6, 6, 2], name: "image" });
    const meta = tf.input({ shape: [3], name: "meta" });
    const features = on(
      l.globalAveragePooling2d({ name: "pooled" }),
      on(l.conv2d({ filters: 4, kernelSize: 3 }), image),
    );
    const joined = on(l.concatenate(), [features, meta]);
    const classes = on(l.dense({ units: 3, name: "classes", activation: "softmax" }), joined);
    const score = on(l.dense({ units: 1, name: "score" }), joined);
    const model = tf.model({ inputs: [image, meta], outputs: [score, features, classes] });
    expect(await exportDifference(model)).toBeLessThan(tolerance);
    const { graph } = await toGraph(model);
    expect(graph.inputs.map(({ name }) => name)).toEqual(["image", "meta"]);
    expect(graph.outputs.map(({ name }) => name)).toEqual(["score", "pooled", "classes"]);
  });

  test("a shared layer has one set of weights", async () => {
    const [a, b] = [tf.input({ shape: [6, 6, 2] }), tf.input({ shape: [6, 6, 2] })];
    const conv = l.conv2d({ filters: 3, kernelSize: 3, activation: "relu", name: "shared" });
    const slope = l.prelu({ name: "slope" });
    const outputs = on(l.multiply(), [on(slope, on(conv, a)), on(slope, on(conv, b))]);
    const model = tf.model({ inputs: [a, b], outputs });
    expect(await exportDifference(model)).toBeLessThan(tolerance);
    const { graph, bindings } = await toGraph(model);
    expect(graph.nodes("Conv").map(({ name }) => name)).toEqual(["shared", "shared/call2"]);
    expect(bindings.map(({ initializer }) => initializer)).toEqual([
      "shared/kernel",
      "shared/bias",
      "slope/alpha",
    ]);
  });

  test("nested models, one of them called twice, are laid flat", async () => {
    const inner = tf.sequential({
      name: "inner",
      layers: [
        l.dense({ units: 4, inputShape: [5], activation: "relu", name: "first" }),
        l.dense({ units: 5, name: "second" }),
      ],
    });
    const input = tf.input({ shape: [5] });
    const first = on(l.dense({ units: 5, name: "first" }), input);
    const model = tf.model({ inputs: input, outputs: on(inner, on(inner, first)) });
    expect(await exportDifference(model)).toBeLessThan(tolerance);
    const { bindings } = await toGraph(model);
    expect(bindings.map(({ layer, weight }) => `${layer}:${weight}`).sort()).toEqual([
      "first:bias",
      "first:kernel",
      "inner/first:bias",
      "inner/first:kernel",
      "inner/second:bias",
      "inner/second:kernel",
    ]);
  });

  test("a Sequential that starts with a model", async () => {
    const body = tf.sequential({
      layers: [l.dense({ units: 4, inputShape: [5], name: "body" })],
      name: "inner",
    });
    const model = tf.sequential({ layers: [body, l.dense({ units: 2, name: "head" })] });
    expect(await exportDifference(model)).toBeLessThan(tolerance);
    const { bindings } = await toGraph(model);
    expect(bindings.map(({ layer }) => layer)).toContain("inner/body");
  });

  test("an input that is also an output, and an output that is used again", async () => {
    const input = tf.input({ shape: [4], name: "x" });
    const hidden = on(l.dense({ units: 4, name: "hidden" }), input);
    const top = on(l.dense({ units: 2, name: "top" }), hidden);
    const model = tf.model({ inputs: input, outputs: [top, hidden, input] });
    expect(await exportDifference(model)).toBeLessThan(tolerance);
  });

  test("whole numbers take part in float arithmetic", async () => {
    const input = tf.input({ shape: [4], dtype: "int32", name: "counts" });
    const model = tf.model({
      inputs: input,
      outputs: on(l.dense({ units: 3 }), on(l.dropout({ rate: 0.1 }), input)),
    });
    expect(await exportDifference(model)).toBeLessThan(tolerance);
    const { graph } = await toGraph(model);
    expect(graph.inputs[0]?.type).toEqual({ dtype: "int32", shape: ["batch", 4] });
  });

  test("a gated model is exported as it computes, without gates", async () => {
    const plain = residualNetwork();
    const gated = gate(randomizeWeights(plain, 4), { lambda: 1e-3 });
    expect(await exportDifference(gated, { randomize: false })).toBeLessThan(tolerance);
    expect(await initializerNames(gated)).toEqual(await initializerNames(plain));
  });

  test("open sizes and open batch keep their names", async () => {
    const input = tf.input({ shape: [null, null, 2], name: "image" });
    const model = tf.model({
      inputs: input,
      outputs: on(l.conv2d({ filters: 3, kernelSize: 3, padding: "same" }), input),
    });
    expect(await exportDifference(model, { open: 9 })).toBeLessThan(tolerance);
    const { graph } = await toGraph(model);
    expect(graph.inputs[0]?.type?.shape).toEqual(["batch", "image_1", "image_2", 2]);
  });

  test("select lets the model take full rows", async () => {
    const model = tf.sequential({ layers: [l.dense({ units: 2, inputShape: [3], name: "out" })] });
    randomizeWeights(model, 3);
    const name = "out_input";
    const rows = tf.randomNormal([4, 6], 0, 1, "float32", 7);
    const kept = [0, 2, 5];
    const bytes = await toOnnx(model, { select: [{ name, axis: 1, size: 6, kept }] });
    const [actual] = await onnxOutputs(bytes, [rows], "web");
    const [expected] = tfjsOutputs(model, [tf.gather(rows, kept, 1)]);
    expect(relativeDifference([expected!], [actual!.data])).toBeLessThan(tolerance);
    await expect(toOnnx(model, { select: [{ name: "other", axis: 1, size: 6, kept }] })).rejects.toThrow(
      /inputs are/,
    );
    await expect(toOnnx(model, { select: [{ name, axis: 1, size: 2, kept }] })).rejects.toThrow(
      /another model/,
    );
  });
});

describe("properties", () => {
  const window = fc.record({
    filters: fc.integer({ min: 1, max: 5 }),
    kernelSize: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    strides: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    padding: fc.constantFrom("same" as const, "valid" as const),
    useBias: fc.boolean(),
  });
  const shape = fc.tuple(
    fc.integer({ min: 5, max: 11 }),
    fc.integer({ min: 5, max: 11 }),
    fc.integer({ min: 1, max: 4 }),
  );
  const dilations = fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 }));
  const classes = fc.constantFrom("conv", "depthwise", "separable", "transposed", "max", "average");

  test("windows of any size, stride and padding", async () => {
    await fc.assert(
      fc.asyncProperty(
        classes,
        window,
        dilations,
        shape,
        fc.nat(999),
        async (kind, w, dilated, inputShape, seed) => {
          const dilationRate: [number, number] =
            w.strides.every((s) => s === 1) && dilated ? dilated : [1, 1];
          // Depthwise kernels of tfjs want one stride for both axes.
          const equal = { ...w, strides: [w.strides[0], w.strides[0]] as [number, number] };
          const layer = {
            conv: () => l.conv2d({ ...w, dilationRate, inputShape }),
            depthwise: () => l.depthwiseConv2d({ ...equal, depthMultiplier: 2, inputShape }),
            separable: () => l.separableConv2d({ ...equal, depthMultiplier: 2, inputShape }),
            transposed: () => l.conv2dTranspose({ ...w, inputShape }),
            max: () => l.maxPooling2d({ ...w, poolSize: w.kernelSize, inputShape }),
            average: () => l.averagePooling2d({ ...w, poolSize: w.kernelSize, inputShape }),
          }[kind]();
          const model = tf.sequential({ layers: [layer] });
          expect(await exportDifference(model, { seed, runtimes: ["node"], batch: 2 })).toBeLessThan(
            tolerance,
          );
          tf.disposeVariables();
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("refusals name the layer and its class", () => {
  const refused: [string, () => tf.LayersModel, RegExp][] = [
    [
      "LSTM",
      () => tf.sequential({ layers: [l.lstm({ units: 3, inputShape: [4, 2], name: "memory" })] }),
      /"memory" \(LSTM\).*recurrent/,
    ],
    [
      "GRU",
      () => tf.sequential({ layers: [l.gru({ units: 3, inputShape: [4, 2], name: "g" })] }),
      /"g" \(GRU\).*recurrent/,
    ],
    [
      "Bidirectional",
      () => {
        const layer = l.lstm({ units: 2 });
        return tf.sequential({
          layers: [l.bidirectional({ layer, mergeMode: "concat", inputShape: [4, 2], name: "b" })],
        });
      },
      /"b" \(Bidirectional\).*recurrent/,
    ],
    [
      "Masking",
      () => tf.sequential({ layers: [l.masking({ inputShape: [4, 2], name: "m" })] }),
      /"m" \(Masking\).*0\/1 input/,
    ],
    [
      "Dot",
      () => {
        const [a, b] = [tf.input({ shape: [3] }), tf.input({ shape: [3] })];
        return tf.model({ inputs: [a, b], outputs: on(l.dot({ axes: 1, name: "d" }), [a, b]) });
      },
      /"d" \(Dot\).*no rule/,
    ],
    [
      "BatchNormalization of an inner axis",
      () => tf.sequential({ layers: [l.batchNormalization({ axis: 2, inputShape: [4, 2, 3], name: "bn" })] }),
      /"bn" \(BatchNormalization\).*axis 2 of 4/,
    ],
    [
      "SeparableConv2D channels first",
      () =>
        tf.sequential({
          layers: [
            l.separableConv2d({
              filters: 2,
              kernelSize: 1,
              dataFormat: "channelsFirst",
              inputShape: [2, 4, 4],
              name: "s",
            }),
          ],
        }),
      /"s" \(SeparableConv2D\).*channelsLast/,
    ],
  ];
  test.for(refused)("%s", async ([, build, message]) => {
    await expect(toOnnx(build())).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(message),
    });
  });

  test("weights with NaN", async () => {
    const model = tf.sequential({ layers: [l.dense({ units: 2, inputShape: [2], name: "d" })] });
    model.layers[0]!.setWeights([
      tf.tensor2d([
        [1, Number.NaN],
        [0, 1],
      ]),
      tf.zeros([2]),
    ]);
    await expect(toOnnx(model)).rejects.toThrow(/"d" \(Dense\).*"kernel" holds NaN/);
  });
});

test("the file says where it comes from", async () => {
  const model = tf.sequential({ name: "tiny", layers: [l.dense({ units: 1, inputShape: [2] })] });
  const { graph } = await toGraph(model);
  expect(Object.fromEntries(graph.info.metadata)).toEqual({
    model: "tiny",
    tfjs: tf.version["tfjs"],
    dgate: packageVersion,
  });
  expect([graph.info.irVersion, graph.opsets.get("")]).toEqual([8, 17]);
  expect(randomInputs(model)).toHaveLength(1);
});

test("a built package states the version of package.json", async () => {
  const built = await bundle({
    entryPoints: [fileURLToPath(new URL("model-info.ts", import.meta.url))],
    define: (config as { define: Record<string, string> }).define,
    write: false,
  });
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(built.outputFiles[0]!.text).toContain(`packageVersion = true ? "${version}"`);
});
