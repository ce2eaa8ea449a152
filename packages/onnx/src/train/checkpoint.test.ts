import { findSites } from "@dgate/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bigram, classBatches, mlp } from "../../test/train/nets.ts";
import type { Batch } from "../recover/batches.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { crossEntropy, distill } from "./loss.ts";
import { adam, adamw, type Optimizer, sgd } from "./optimizer.ts";
import { warmupCosine } from "./schedule.ts";
import { openTrainer } from "./trainer.ts";
import type { Trainer, TrainerOptions } from "./trainer-options.ts";

const all = [...classBatches(14)];
/** Batches from the one on that is due. */
const source = (done: number): Batch[] => all.slice(done);

function open(options: Partial<TrainerOptions> = {}): Promise<Trainer> {
  const graph = mlp();
  return openTrainer(graph, {
    sites: findSites(graph),
    loss: crossEntropy(),
    depth: 3,
    train: "all",
    learningRate: warmupCosine(0.05),
    gateRate: 0.01,
    clipNorm: 1,
    ...options,
  });
}

const failure = (work: () => Promise<unknown> | void) =>
  Promise.resolve()
    .then(work)
    .then(
      () => expect.fail("it was taken"),
      (cause: unknown) => cause as { code: string; message: string },
    );

const optimizers: Readonly<Record<string, Optimizer>> = {
  sgd: sgd(),
  momentum: sgd({ momentum: 0.9 }),
  adam: adam(),
  adamw: adamw({ weightDecay: 0.1 }),
};

describe.each(["host", "graph"] as const)(
  "updates in the %s: a new trainer goes on from a checkpoint",
  (updates) => {
    test.each(Object.keys(optimizers))("to the bit as if nothing had been, %s", async (name) => {
      const options = { optimizer: optimizers[name]!, updates };
      const whole = await open(options);
      const once = await whole.fit(source, { steps: 14 });
      const expected = await whole.save();
      await whole.dispose();

      const first = await open(options);
      const before = await first.fit(source(0).slice(0, 5), { steps: 14 });
      const checkpoint = await first.save();
      await first.dispose();
      const second = await open(options);
      second.restore(checkpoint);
      expect(second.step).toBe(5);
      const after = await second.fit(source, { steps: 14 });
      expect([...before.losses, ...after.losses]).toEqual([...once.losses]);
      expect(await second.save()).toEqual(expected);
      await second.dispose();
    });

    test("with the memory of what steers λ, wherever the cut is", async () => {
      const options = { updates, optimizer: sgd(), lambda: { target: 0.4, lambda: 0.02, every: 3, gain: 1 } };
      const whole = await open(options);
      const lambdas: number[] = [];
      await whole.fit(source, { steps: 14, onProgress: ({ lambda }) => lambdas.push(lambda) });
      const expected = await whole.save();
      await whole.dispose();
      expect(new Set(lambdas).size).toBe(5);
      for (const cut of [5, 6]) {
        const first = await open(options);
        await first.fit(source(0).slice(0, cut), { steps: 14 });
        const second = await open(options);
        second.restore(await first.save());
        await first.dispose();
        const seen: number[] = [];
        await second.fit(source, { steps: 14, onProgress: ({ lambda }) => seen.push(lambda) });
        expect(seen).toEqual(lambdas.slice(cut));
        expect(await second.save()).toEqual(expected);
        await second.dispose();
      }
    });
  },
);

test("a batch that is refused does not let λ move twice", async () => {
  const options = { optimizer: sgd(), lambda: { target: 0.4, lambda: 0.02, every: 3, gain: 1 } };
  const smooth = await open(options);
  await smooth.fit(source, { steps: 8 });
  const rough = await open(options);
  await rough.fit(source(0).slice(0, 3), { steps: 8 });
  for (let i = 0; i < 3; i++) await failure(() => rough.fit([{}], { steps: 8 }).then(() => undefined));
  await rough.fit(source, { steps: 8 });
  expect(await rough.save()).toEqual(await smooth.save());
  await smooth.dispose();
  await rough.dispose();
});

test("checkpoints are taken after every so many steps, and hold what there was then", async () => {
  const trainer = await open();
  const taken: { readonly step: number; readonly checkpoint: Checkpoint }[] = [];
  await trainer.fit(source, {
    steps: 14,
    checkpoint: { every: 4, save: (checkpoint) => void taken.push({ step: trainer.step, checkpoint }) },
  });
  expect(taken.map(({ step }) => step)).toEqual([4, 8, 12]);
  trainer.restore(taken[1]!.checkpoint);
  expect(trainer.step).toBe(8);
  expect(await trainer.save()).toEqual(taken[1]!.checkpoint);
  await trainer.dispose();
});

function* endless(): Generator<Batch, void, undefined> {
  for (;;) yield* all;
}

describe("cancelling", () => {
  test("saves a checkpoint and leaves a trainer that can be used", async () => {
    const trainer = await open();
    const controller = new AbortController();
    const saved: Checkpoint[] = [];
    const error = await failure(() =>
      trainer
        .fit(source, {
          steps: 14,
          signal: controller.signal,
          onProgress: ({ step }) => {
            if (step === 6) controller.abort("enough");
          },
          checkpoint: { every: 100, save: (checkpoint) => void saved.push(checkpoint) },
        })
        .then(() => undefined),
    );
    expect(error).toMatchObject({
      code: "ABORTED",
      message: expect.stringContaining("after step 6"),
      cause: "enough",
    });
    expect(saved).toEqual([await trainer.save()]);
    await trainer.fit(source, { steps: 14 });
    const straight = await open();
    await straight.fit(source, { steps: 14 });
    expect(await trainer.save()).toEqual(await straight.save());
    await trainer.dispose();
    await straight.dispose();
  });

  test("before the first batch does no step, and asks for none", async () => {
    const trainer = await open();
    let asked = false;
    function* guarded(): Generator<Batch, void, undefined> {
      asked = true;
      yield* all;
    }
    const work = trainer.fit(guarded(), { steps: 14, signal: AbortSignal.abort() });
    await expect(work).rejects.toMatchObject({ code: "ABORTED" });
    expect([trainer.step, asked]).toEqual([0, false]);
    await trainer.dispose();
  });

  test("is heard while training runs without a pause", async () => {
    const trainer = await open({ learningRate: 0.01 });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    await expect(trainer.fit(endless(), { signal: controller.signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
    await trainer.dispose();
  });
});

/** A checkpoint with another state. */
const edited =
  (change: (state: Record<string, unknown>) => unknown) =>
  (checkpoint: Checkpoint): Checkpoint => ({
    ...checkpoint,
    state: JSON.stringify(change(JSON.parse(checkpoint.state) as Record<string, unknown>)),
  });

describe("a checkpoint is refused, and nothing of it is taken, if it", () => {
  let checkpoint: Checkpoint;
  let same: Trainer;
  beforeAll(async () => {
    const maker = await open();
    await maker.fit(source(0).slice(0, 3), { steps: 14 });
    checkpoint = await maker.save();
    await maker.dispose();
    same = await open();
  });
  afterAll(() => same.dispose());

  const restoring = async (
    make: (checkpoint: Checkpoint) => Checkpoint,
    options: Partial<TrainerOptions> = {},
  ) => {
    const trainer = Object.keys(options).length > 0 ? await open(options) : same;
    const before = await trainer.save();
    const error = await failure(() => trainer.restore(make(checkpoint)));
    expect(await trainer.save()).toEqual(before);
    expect(trainer.step).toBe(0);
    if (trainer !== same) await trainer.dispose();
    return error;
  };

  test.each([
    [
      "is cut in its arrays",
      (c: Checkpoint) => ({ ...c, arrays: c.arrays.subarray(0, c.arrays.length - 9) }),
    ],
    ["has no arrays", (c: Checkpoint) => ({ ...c, arrays: new Uint8Array() })],
    ["is cut in its state", (c: Checkpoint) => ({ ...c, state: c.state.slice(0, 40) })],
    ["has a state of nothing", (c: Checkpoint) => ({ ...c, state: "null" })],
    ["is of another version", edited((state) => ({ ...state, version: 2 }))],
    ["has a step that is none", edited((state) => ({ ...state, step: -1 }))],
    ["has a controller that is none", edited((state) => ({ ...state, controller: { lambda: "x" } }))],
    ["has no controller entry", edited((state) => ({ ...state, controller: undefined }))],
  ])("%s: FORMAT", async (_, make) => {
    expect((await restoring(make)).code).toBe("FORMAT");
  });

  test.each([
    ["is of another step than its arrays", edited((state) => ({ ...state, step: 9 })), {}, "of step 3"],
    ["is of another model", edited((state) => ({ ...state, fingerprint: "0" })), {}, "of model 0"],
    ["is of another depth", (c: Checkpoint) => c, { depth: 2 }, "is of model"],
    ["is of another optimiser", (c: Checkpoint) => c, { optimizer: sgd() }, "made with"],
    [
      "is of other constants of the optimiser",
      (c: Checkpoint) => c,
      { optimizer: adam({ beta1: 0.8 }) },
      "beta1",
    ],
    [
      "trained more than is trained here",
      (c: Checkpoint) => c,
      { train: "groups" as const },
      "not trained here",
    ],
    ["was not steered", (c: Checkpoint) => c, { lambda: { target: 0.5 } }, "was no target"],
    [
      "was steered",
      edited((state) => ({ ...state, controller: { lambda: 1e-3, last: null } })),
      {},
      "was steered to a target",
    ],
  ])("%s: CHECK", async (_, make, options, told) => {
    const { code, message } = await restoring(make, options);
    expect(code).toBe("CHECK");
    expect(message).toContain(told);
  });

  test("trained less than is trained here: CHECK", async () => {
    const maker = await open({ train: "groups" });
    const other = await maker.save();
    const { code, message } = await restoring(() => other);
    expect(code).toBe("CHECK");
    expect(message).toContain("is missing");
    await maker.dispose();
  });

  test("is of a model of other sizes, or another one", async () => {
    const graph = bigram();
    const maker = await openTrainer(graph, { sites: findSites(graph), loss: distill() });
    const other = await maker.save();
    await maker.dispose();
    expect((await restoring(() => other)).code).toBe("CHECK");
  });
});
