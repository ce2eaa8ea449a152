import { gate, gatedSites } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import type { Task } from "../data/task.ts";
import { architecture, buildModel, inputShape, siteRules } from "./architectures.ts";

beforeAll(async () => {
  await tf.setBackend("cpu");
});

const none = { count: 0, x: new Float32Array(0), y: new Float32Array(0) };
const images: Task = {
  name: "images",
  kind: "classification",
  inputShape: [28, 28, 1],
  outputs: 10,
  train: none,
  test: none,
};
const table: Task = { ...images, name: "table", inputShape: [13], outputs: 3 };

describe("architectures", () => {
  test.each([
    ["lenet-300-100", images, 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10],
    ["lenet-5", images, 25 * 6 + 6 + 25 * 6 * 16 + 16 + 400 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10],
    ["mlp", table, 13 * 64 + 64 + 64 * 32 + 32 + 32 * 3 + 3],
    ["mlp:5", table, 13 * 5 + 5 + 5 * 3 + 3],
  ])("%s has the parameters counted by hand", (name, task, parameters) => {
    expect(buildModel(name, task, 1).countParams()).toBe(parameters);
  });

  test("the seed decides the weights", () => {
    const [a, b, c] = [1, 1, 2].map((seed) => buildModel("mlp:4", table, seed).getWeights()[0]!.dataSync());
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  test("unknown names and images for tables are refused", () => {
    for (const name of ["vgg", "mlp:", "mlp:0", "mlp:4-x", "toString"]) {
      expect(() => architecture(name)).toThrow(/expected lenet-300-100/);
    }
    expect(() => inputShape(architecture("lenet-5"), table, "lenet-5")).toThrow(
      /takes images, but table has rows of 13/,
    );
  });
});

const sitesOf = (name: string, task: Task, kinds: Parameters<typeof siteRules>[1]) => {
  const model = buildModel(name, task, 1);
  return gatedSites(gate(model, { rules: siteRules(model, kinds) })).map((site) => site.name);
};

describe("siteRules", () => {
  test("choose what is asked for and leave the outputs alone", () => {
    expect(sitesOf("mlp", table, ["neurons"])).toEqual(["hidden1.neurons", "hidden2.neurons"]);
    expect(sitesOf("mlp", table, ["inputs"])).toEqual(["hidden1.inputs"]);
    expect(sitesOf("mlp", table, ["neurons", "inputs"])).toEqual([
      "hidden1.neurons",
      "hidden1.inputs",
      "hidden2.neurons",
    ]);
    expect(sitesOf("lenet-5", images, ["filters"])).toEqual(["conv1.filters", "conv2.filters"]);
  });

  test("a kind that the network lacks is refused", () => {
    const model = buildModel("mlp", table, 1);
    expect(() => siteRules(model, ["neurons", "filters"])).toThrow(
      /--sites filters: mlp has no such site; it has neurons, inputs/,
    );
  });
});
