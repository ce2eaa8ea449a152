import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { sampleInput, sampleModels } from "../../test/sample-models.ts";
import { collapse, gate } from "./gate.ts";
import { gatedSites } from "./inspect.ts";
import type { SiteKind } from "./site.ts";

const maxDifference = (a: tf.Tensor, b: tf.Tensor): number => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]!;

describe.each(sampleModels)("$name", (sample) => {
  describe.each(sample.kinds)("%s", (kind) => {
    test.each([2, 3, 4])(
      "a gated model of depth %i starts with the outputs of the plain one, and collapses to them",
      (depth) => {
        const model = sample.make();
        const input = sampleInput(sample);
        const gated = gate(model, {
          depth,
          rules: [{ layer: "gated", site: kind as SiteKind }, { site: "none" }],
        });
        expect(gatedSites(gated)).toMatchObject([{ name: `gated.${kind}`, kind, layer: "gated", depth }]);
        const before = model.predict(input) as tf.Tensor;
        expect(maxDifference(before, gated.predict(input) as tf.Tensor)).toBeLessThan(1e-5);
        expect(maxDifference(before, collapse(gated).predict(input) as tf.Tensor)).toBeLessThan(1e-5);
      },
    );
  });
});
