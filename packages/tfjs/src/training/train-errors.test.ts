import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { nanGuard } from "../callbacks/nan-guard.ts";
import { gate } from "../gating/gate.ts";
import { batchRows, shuffledBatches } from "./batches.ts";
import { train } from "./train.ts";

function regression(rate = 0.05): tf.LayersModel {
  const model = gate(
    tf.sequential({
      layers: [tf.layers.dense({ units: 3, inputShape: [2] }), tf.layers.dense({ units: 1 })],
    }),
  );
  model.compile({ optimizer: tf.train.sgd(rate), loss: "meanSquaredError", metrics: ["mae"] });
  return model;
}

const [x, y] = [tf.randomNormal([10, 2], 0, 1, "float32", 1), tf.randomNormal([10, 1], 0, 1, "float32", 2)];

describe("train refuses", () => {
  test("inputs and labels of different length", async () => {
    const short = y.slice(0, 7);
    await expect(train(regression(), { x, y: short, epochs: 1 })).rejects.toMatchObject({
      code: "SHAPE",
      message: expect.stringMatching(/y has 7 rows, x has 10/) as string,
    });
    expect(() => shuffledBatches(x, short)).toThrow(/y has 7 rows, x has 10/);
    const validation = { x, y: short };
    await expect(train(regression(), { x, y, epochs: 1, validation })).rejects.toThrow(
      /validation: y has 7 rows/,
    );
  });

  test("tensors that do not fit the model", async () => {
    await expect(train(regression(), { x: [x, x], y, epochs: 1 })).rejects.toThrow(/2 input .* has 1 inputs/);
    const wide = tf.zeros([10, 3]);
    await expect(train(regression(), { x, y: wide, epochs: 1 })).rejects.toThrow(/\[rows, 3\].*\[rows, 1\]/);
    const listed = regression();
    listed.compile({ optimizer: "sgd", loss: ["meanSquaredError"] });
    await expect(train(listed, { x, y: wide, epochs: 1 })).rejects.toThrow(/\[rows, 3\].*\[rows, 1\]/);
  });

  test.each([Number.NaN, Infinity])("%s in the data, naming the row", async (bad) => {
    const values = x.arraySync() as number[][];
    values[6]![1] = bad;
    await expect(train(regression(), { x: tf.tensor2d(values), y, epochs: 1 })).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/x holds (NaN|Infinity) at row 6/) as string,
    });
  });

  test("what is out of range, and models that are not compiled", async () => {
    await expect(train(regression(), { x, y, epochs: 0 })).rejects.toThrow(/epochs is 0/);
    await expect(train(regression(), { x, y, epochs: 1, batchSize: 0 })).rejects.toThrow(/batchSize is 0/);
    await expect(train(regression(), { x, y, epochs: 1, seed: 0.5 })).rejects.toThrow(/seed is 0.5/);
    const plain = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
    await expect(train(plain, { x, y, epochs: 1 })).rejects.toThrow(/compile it first/);
  });
});

describe("a training that diverges", () => {
  const message =
    /loss is (NaN|Infinity) at epoch \d+, step 1\. Most likely the learning rate \(100000\) is too high.* or the penalty's λ is too large/;

  test("ends with the step and the likely cause", async () => {
    await expect(train(regression(1e5), { x, y, epochs: 50 })).rejects.toMatchObject({
      code: "DIVERGED",
      message: expect.stringMatching(message) as string,
    });
  });

  test("ends in fit, too, with nanGuard", async () => {
    const fitting = regression(1e5).fit(x, y, { epochs: 50, callbacks: nanGuard({ every: 1 }) });
    await expect(fitting).rejects.toMatchObject({
      code: "DIVERGED",
      message: expect.stringMatching(message) as string,
    });
  });
});

test("a signal stops training between two steps", async () => {
  const abort = new AbortController();
  let steps = 0;
  const onBatchEnd = (): void => {
    steps += 1;
    if (steps === 3) abort.abort();
  };
  const run = train(regression(), {
    x,
    y,
    epochs: 5,
    batchSize: 5,
    callbacks: { onBatchEnd },
    signal: abort.signal,
  });
  await expect(run).rejects.toMatchObject({ code: "ABORTED" });
  expect(steps).toBe(3);
});

test("timers have their turn, however short epochs and trainings are", async () => {
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 10);
  const many = train(regression(), { x, y, epochs: 100_000, signal: abort.signal });
  await expect(many).rejects.toMatchObject({ code: "ABORTED" });

  const turn = new AbortController();
  setTimeout(() => turn.abort(), 10);
  const model = regression();
  let trainings = 0;
  for (; !turn.signal.aborted && trainings < 20_000; trainings++) await train(model, { x, y, epochs: 1 });
  expect(turn.signal.aborted).toBe(true);
});

test("callbacks can end training, and see loss and metrics of data and validation", async () => {
  const model = regression();
  const losses: number[] = [];
  const logs = await train(model, {
    x,
    y,
    epochs: 9,
    batchSize: 4,
    validation: { x, y },
    callbacks: {
      onBatchEnd: (_batch, log) => {
        losses.push(log!["loss"]!);
      },
    },
  });
  expect(losses).toHaveLength(27);
  expect(Object.keys(logs[0]!)).toEqual(["epoch", "loss", "mae", "val_loss", "val_mae"]);
  expect(logs[0]!["loss"]).toBeCloseTo((4 * losses[0]! + 4 * losses[1]! + 2 * losses[2]!) / 10, 5);
  const stop = new (class extends tf.Callback {
    override async onEpochEnd(epoch: number): Promise<void> {
      if (epoch === 1) this.model.stopTraining = true;
    }
  })();
  expect(await train(model, { x, y, epochs: 9, callbacks: stop })).toHaveLength(2);
});

test("targets [rows] are those of [rows, 1]", async () => {
  const models = [y, y.flatten()].map((targets) => ({ model: regression(), targets }));
  models[1]!.model.setWeights(models[0]!.model.getWeights());
  const logs: object[] = [];
  for (const { model, targets } of models) logs.push(await train(model, { x, y: targets, epochs: 2 }));
  expect(logs[1]).toEqual(logs[0]);
});

test("several inputs and outputs train as in fit", async () => {
  const inputs = [tf.input({ shape: [2] }), tf.input({ shape: [1] })];
  const hidden = tf.layers
    .dense({ units: 4 })
    .apply(tf.layers.concatenate().apply(inputs)) as tf.SymbolicTensor;
  const heads = ["one", "two"].map(
    (name) => tf.layers.dense({ units: 1, name }).apply(hidden) as tf.SymbolicTensor,
  );
  const plain = tf.model({ inputs, outputs: heads });
  const models = [gate(plain), gate(plain)];
  for (const model of models) model.compile({ optimizer: tf.train.sgd(0.05), loss: "meanSquaredError" });
  const [log] = await train(models[0]!, { x: [x, y], y: [y, y], epochs: 1, batchSize: 10, shuffle: false });
  const { history } = await models[1]!.fit([x, y], [y, y], { epochs: 1, batchSize: 10, shuffle: false });
  expect(Object.keys(log!)).toEqual(["epoch", "loss", "one_loss", "two_loss"]);
  for (const [name, [value]] of Object.entries(history)) expect(log![name]).toBeCloseTo(value as number, 5);
  for (const [i, weight] of models[0]!.getWeights().entries()) {
    expect(tf.max(tf.abs(tf.sub(weight, models[1]!.getWeights()[i]!))).dataSync()[0]).toBeLessThan(1e-6);
  }
});

test("train leaves no tensors behind", async () => {
  const model = regression();
  await train(model, { x, y, epochs: 1, validation: { x, y } });
  const before = tf.memory().numTensors;
  await train(model, { x, y, epochs: 3, batchSize: 4, validation: { x, y } });
  expect(tf.memory().numTensors).toBe(before);
});

function epochRows(seed: number, epoch: number): number[] {
  return batchRows(10, epoch, { batchSize: 4, seed }).flatMap((rows) => [...rows]);
}

test("batches hold every row once, in another order each epoch and in the same one each run", () => {
  expect(batchRows(10, 0, { batchSize: 4 }).map((rows) => rows.length)).toEqual([4, 4, 2]);
  expect(epochRows(1, 0).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(epochRows(1, 0)).toEqual(epochRows(1, 0));
  expect(epochRows(1, 0)).not.toEqual(epochRows(1, 1));
  expect(epochRows(1, 0)).not.toEqual(epochRows(2, 0));
  expect(batchRows(3, 5, { shuffle: false }).map((rows) => [...rows])).toEqual([[0, 1, 2]]);
});

async function readEpochs(initialEpoch: number, count: number): Promise<number[][]> {
  const dataset = shuffledBatches(tf.range(0, 6).expandDims(1), tf.zeros([6, 1]), {
    seed: 4,
    initialEpoch,
  });
  const found: number[][] = [];
  for (let i = 0; i < count; i += 1) {
    const rows: number[] = [];
    await dataset.forEachAsync((batch) => {
      rows.push(...(batch as { xs: tf.Tensor }).xs.dataSync());
    });
    found.push(rows);
  }
  return found;
}

test("shuffledBatches continue with the epoch they are told", async () => {
  const all = await readEpochs(0, 3);
  expect(await readEpochs(1, 2)).toEqual(all.slice(1));
});
