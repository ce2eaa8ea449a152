import { findSites } from "@dgate/onnx";
import "@dgate/testing";
import { describe, expect, test } from "vitest";
import { classBatches, mlp } from "../../test/train/nets.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { crossEntropy } from "./loss.ts";
import { adam, adamw, type Optimizer, sgd } from "./optimizer.ts";
import { openTrainer, type TrainerOptions } from "./trainer.ts";

const names = ["fc1/kernel", "fc1/bias", "fc2/kernel", "fc2/bias", "out/kernel", "out/bias"];

/** Parameters after 20 steps, with what each step told. */
async function trained(options: Partial<TrainerOptions>) {
  const graph = mlp();
  const trainer = await openTrainer(graph, {
    sites: findSites(graph),
    loss: crossEntropy(),
    depth: 3,
    lambda: 1e-2,
    train: "all",
    learningRate: 0.05,
    gateRate: 0.02,
    ...options,
  });
  const norms: number[] = [];
  await trainer.fit(classBatches(20), { onProgress: ({ gradientNorm }) => norms.push(gradientNorm) });
  const gated = await trainer.gated();
  const arrays = trainer.parameters.map(
    ({ name }) => [name, [...readNumbers(gated.value(name)!.data!)]] as const,
  );
  await trainer.dispose();
  return { arrays: new Map(arrays), norms };
}

const optimizers: Readonly<Record<string, Optimizer>> = {
  sgd: sgd(),
  momentum: sgd({ momentum: 0.9 }),
  Nesterov: sgd({ momentum: 0.9, nesterov: true }),
  adam: adam(),
  adamw: adamw({ weightDecay: 0.2 }),
};

describe("updates in the graph and over arrays come to the same parameters in 20 steps:", () => {
  test.each(Object.keys(optimizers))("%s", async (name) => {
    const optimizer = optimizers[name]!;
    // A limit that most of these gradients are longer than.
    const options = { optimizer, clipNorm: 0.5 };
    const host = await trained({ ...options, updates: "host" });
    const graph = await trained({ ...options, updates: "graph" });
    expect([...graph.arrays.keys()]).toEqual([...host.arrays.keys()]);
    expect([...host.arrays.keys()]).toEqual(expect.arrayContaining(names));
    for (const [key, array] of host.arrays) {
      expect(graph.arrays.get(key)!).toBeAllClose(array, { absolute: 1e-5, relative: 1e-5 });
    }
    expect(graph.norms).toBeAllClose(host.norms, { absolute: 1e-5, relative: 1e-4 });
    expect(host.norms.filter((norm) => norm > 0.5).length).toBeGreaterThan(5);
  });
});

describe.each(["host", "graph"] as const)("updates in the %s:", (updates) => {
  const size = (
    arrays: ReadonlyMap<string, readonly number[]>,
    before: ReadonlyMap<string, readonly number[]>,
  ) => {
    const moved = [...arrays].flatMap(([name, array]) => array.map((w, i) => w - before.get(name)![i]!));
    return Math.hypot(...moved);
  };

  test("clipNorm limits the length of a step, and leaves shorter ones alone", async () => {
    const still = await trained({ optimizer: sgd(), learningRate: 0, gateRate: 0, updates });
    const one = async (clipNorm: number): Promise<number> => {
      const graph = mlp();
      const trainer = await openTrainer(graph, {
        sites: findSites(graph),
        loss: crossEntropy(),
        depth: 3,
        lambda: 1e-2,
        train: "all",
        optimizer: sgd(),
        learningRate: 0.05,
        clipNorm,
        updates,
      });
      await trainer.fit(classBatches(1));
      const gated = await trainer.gated();
      const arrays = trainer.parameters.map(
        ({ name }) => [name, [...readNumbers(gated.value(name)!.data!)]] as const,
      );
      await trainer.dispose();
      return size(new Map(arrays), still.arrays);
    };
    expect(await one(0.1)).toBeCloseTo(0.05 * 0.1, 5);
    expect(await one(1e3)).toBeCloseTo(0.05 * still.norms[0]!, 5);
  });

  test("decoupled decay leaves gates and grouped weights alone", async () => {
    const plain = await trained({ optimizer: adamw({ weightDecay: 0 }), clipNorm: 1, updates });
    const graph = mlp();
    const trainer = await openTrainer(graph, {
      sites: findSites(graph),
      loss: crossEntropy(),
      depth: 3,
      lambda: 1e-2,
      train: "all",
      optimizer: adamw({ weightDecay: 0.5 }),
      learningRate: 0.05,
      gateRate: 0.02,
      updates,
    });
    const without = await openTrainer(graph, {
      sites: findSites(graph),
      loss: crossEntropy(),
      depth: 3,
      lambda: 1e-2,
      train: "all",
      optimizer: adam(),
      learningRate: 0.05,
      gateRate: 0.02,
      updates,
    });
    // One step: after it the gradients differ.
    const starts = new Map(trainer.parameters.map(({ name, initial }) => [name, [...initial()]]));
    await trainer.fit(classBatches(1));
    await without.fit(classBatches(1));
    const [decayed, adamOnly] = [await trainer.gated(), await without.gated()];
    for (const { name, kind } of trainer.parameters) {
      const [got, bare] = [decayed, adamOnly].map((model) => [...readNumbers(model.value(name)!.data!)]);
      const decay = kind === "other" ? 0.05 * 0.5 : 0;
      expect(got!).toBeAllClose(
        bare!.map((w, i) => w - decay * starts.get(name)![i]!),
        { absolute: 1e-6, relative: 1e-5 },
      );
    }
    expect(trainer.parameters.map(({ kind }) => kind)).toContain("other");
    await trainer.dispose();
    await without.dispose();
    expect(plain.arrays.size).toBe(trainer.parameters.length);
  });
});
