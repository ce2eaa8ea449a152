import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import {
  gate,
  groupNorms,
  shrink,
  type SiteKind,
  type SiteRule,
  toOnnx,
  train,
  useBackend,
} from "../src/index.ts";
import { type SampleModel, sampleInput, sampleModels } from "./sample-models.ts";
import { onnxOutputs, relativeDifference, tfjsOutputs, tolerance } from "./support/onnx-outputs.ts";

const onlyFirst = ({ kinds }: SampleModel): SiteRule[] => [
  { layer: "gated", site: kinds[0] as SiteKind },
  { site: "none" },
];

/** Between the smallest and the largest norm: some groups are under it, and some are not. */
function middle(norms: Float64Array): number {
  const [low, high] = [Math.min(...norms), Math.max(...norms)];
  return (low + high) / 2;
}

describe.each(["cpu", "wasm"] as const)("on %s", (backend) => {
  test.each(sampleModels)("a gated $name trains, shrinks and runs in onnxruntime-web", async (sample) => {
    await useBackend(backend);
    const [kind] = sample.kinds;
    const gated = gate(sample.make(), { depth: 2, lambda: 0.05, rules: onlyFirst(sample) });
    gated.compile({ optimizer: tf.train.sgd(0.05), loss: "meanSquaredError" });
    const [x, y] = [sampleInput(sample, 12), tf.randomNormal([12, 2], 0, 1, "float32", 2)];
    const logs = await train(gated, { x, y, epochs: 8, batchSize: 4 });
    expect(logs.at(-1)!["loss"]).toBeLessThan(logs[0]!["loss"]!);

    const absolute = middle((await groupNorms(gated)).get(`gated.${kind}`)!);
    const { model, masked, report } = await shrink(gated, { threshold: { absolute, relative: 0 } });
    expect(report.removed).toMatchObject([{ site: `gated.${kind}` }]);
    expect(model.countParams()).toBeLessThan(masked.countParams());
    const outputs = await onnxOutputs(await toOnnx(model, { select: report.inputs }), [x], "web");
    const expected = tfjsOutputs(masked, [x]);
    expect(
      relativeDifference(
        expected,
        outputs.map(({ data }) => data),
      ),
    ).toBeLessThan(tolerance);
  });
});

test.each(sampleModels)("a gated $name predicts the same on cpu and on wasm", async (sample) => {
  await useBackend("cpu");
  const gated = gate(sample.make(), { rules: onlyFirst(sample) });
  // 3 rows gate Dense at its activation, 8 at its kernel.
  for (const rows of [3, 8]) {
    const x = sampleInput(sample, rows);
    const outputs: Float32Array[][] = [];
    for (const backend of ["cpu", "wasm"] as const) {
      await useBackend(backend);
      outputs.push(tfjsOutputs(gated, [x]));
    }
    expect(relativeDifference(outputs[0]!, outputs[1]!)).toBeLessThan(tolerance);
  }
});
