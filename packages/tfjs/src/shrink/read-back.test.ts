import { tensorOf } from "@dgate/onnx";
import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import { randomizeWeights } from "../../test/support/onnx-outputs.ts";
import { boundAxis, propertyName } from "../export/bindings.ts";
import { localName } from "../export/read-weights.ts";
import { modelToGraph } from "../export/to-graph.ts";
import { readBack } from "./read-back.ts";

const l = tf.layers;

/** A model with every kind of weight. */
function everyWeight(): tf.LayersModel {
  const model = tf.sequential({
    layers: [
      l.conv2d({ filters: 3, kernelSize: [3, 2], inputShape: [9, 9, 2], useBias: false, name: "conv" }),
      l.batchNormalization({ center: false, name: "norm" }),
      l.depthwiseConv2d({ kernelSize: [2, 3], depthMultiplier: 2, name: "depthwise" }),
      l.separableConv2d({ filters: 4, kernelSize: [1, 2], depthMultiplier: 3, name: "separable" }),
      l.conv2dTranspose({ filters: 5, kernelSize: [2, 3], name: "transposed" }),
      l.prelu({ name: "slope" }),
      l.reshape({ targetShape: [-1, 5] }),
      l.conv1d({ filters: 3, kernelSize: 4, name: "over_time" }),
      l.layerNormalization({ name: "layer_norm" }),
      l.dense({ units: 2, name: "dense" }),
    ],
  });
  return randomizeWeights(model, 11);
}

test("weights read back from an unpruned graph are the layer's own", async () => {
  const model = everyWeight();
  const { graph, bindings } = await modelToGraph(model, {}, { makeBiases: true });
  const weights = readBack(graph, bindings);
  for (const layer of model.layers) {
    const named = weights.get(layer.name);
    expect(named?.size ?? 0).toBe(layer.weights.length);
    for (const variable of layer.weights) {
      const weight = named?.get(propertyName(localName(variable.originalName)));
      expect(weight?.shape).toEqual(variable.shape);
      expect(weight?.values).toEqual(variable.read().dataSync());
    }
  }
});

test("a made bias comes back only when something was folded into it", async () => {
  const { graph, bindings } = await modelToGraph(everyWeight(), {}, { makeBiases: true });
  expect(readBack(graph, bindings).get("conv")?.has("bias")).toBe(false);
  graph.setData(graph.value("conv/bias")!, tensorOf("float32", [3], [0, 0.5, 0]));
  expect(readBack(graph, bindings).get("conv")?.get("bias")).toEqual({
    shape: [3],
    values: Float32Array.of(0, 0.5, 0),
    made: true,
  });
});

test("an axis of a weight is found in its initializer", async () => {
  const { bindings } = await modelToGraph(everyWeight(), {}, { makeBiases: true });
  const at = (layer: string, weight: string, axis: number): ReturnType<typeof boundAxis> =>
    boundAxis(bindings.find((binding) => binding.layer === layer && binding.weight === weight)!, axis);
  expect(at("conv", "kernel", 3)).toEqual({ axis: 0, blockSize: 1 });
  expect(at("conv", "kernel", 2)).toEqual({ axis: 1, blockSize: 1 });
  expect(at("transposed", "kernel", 2)).toEqual({ axis: 1, blockSize: 1 });
  expect(at("dense", "kernel", 1)).toEqual({ axis: 1, blockSize: 1 });
  // Channel c and its multiplier's outputs are one block of the grouped convolution's weight.
  expect(at("depthwise", "depthwiseKernel", 2)).toEqual({ axis: 0, blockSize: 2 });
  expect(at("separable", "depthwiseKernel", 2)).toEqual({ axis: 0, blockSize: 3 });
  // The multiplier alone is scattered over it.
  expect(at("depthwise", "depthwiseKernel", 3)).toBeUndefined();
});
