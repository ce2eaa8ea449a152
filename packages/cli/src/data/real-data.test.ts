import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { loadTask } from "./load-task.ts";

const folder = dataFolder();

const perClass = (labels: Float32Array, label: number): number =>
  labels.filter((value) => value === label).length;

describe.skipIf(!folder)("real data", () => {
  test("MNIST has its 70,000 images and the known mean", async () => {
    const { train, test: held } = await loadTask({ data: "mnist", seed: 1 });
    expect([train.count, held.count]).toEqual([60_000, 10_000]);
    expect([perClass(train.y, 1), perClass(held.y, 1)]).toEqual([6742, 1135]);
    // The mean that is subtracted everywhere MNIST is normalised.
    let sum = 0;
    for (const value of train.x) sum += value;
    expect(sum / train.x.length).toBeCloseTo(0.1307, 4);
  });

  test("the CIFAR-10 subset is balanced", async () => {
    const { train, test: held, inputShape } = await loadTask({ data: "cifar10", seed: 1 });
    expect(inputShape).toEqual([32, 32, 3]);
    expect([train.count, perClass(train.y, 3)]).toEqual([8000, 800]);
    expect([held.count, perClass(held.y, 9)]).toEqual([3000, 300]);
  });

  test("tables with commas, with semicolons and without a header", async () => {
    const wine = await loadTask({ data: join(folder!, "wine/wine.csv"), target: "target", seed: 1 });
    expect(wine).toMatchObject({
      kind: "classification",
      inputShape: [13],
      outputs: 3,
      classNames: ["0", "1", "2"],
    });
    const bare = await loadTask({ data: join(folder!, "wine/wine.data"), target: "1", seed: 1 });
    expect(bare.train.x).toEqual(wine.train.x);
    const red = join(folder!, "wine-quality/winequality-red.csv");
    expect(await loadTask({ data: red, target: "quality", seed: 1 })).toMatchObject({
      outputs: 6,
      inputShape: [11],
    });
    expect(await loadTask({ data: red, target: "alcohol", seed: 1 })).toMatchObject({
      kind: "regression",
      outputs: 1,
    });
  });
});
