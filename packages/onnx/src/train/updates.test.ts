import { findSites } from "@dgate/onnx";
import { tolerances } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { classBatches, mlp } from "../../test/train/nets.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { crossEntropy } from "./loss.ts";
import { adam, adamw, type Optimizer, sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const names = ["fc1/kernel", "fc1/bias", "fc2/kernel", "fc2/bias", "out/kernel", "out/bias"];

/** Parameters after some steps, with what each step told. */
async function trained(options: Partial<TrainerOptions>, steps = 20) {
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
  await trainer.fit(classBatches(steps), { onProgress: ({ gradientNorm }) => norms.push(gradientNorm) });
  const gated = await trainer.gated();
  const { parameters } = trainer;
  const arrays = parameters.map(({ name }) => [name, [...readNumbers(gated.value(name)!.data!)]] as const);
  await trainer.dispose();
  return { arrays: new Map(arrays), norms, parameters };
}

/** Length of the way from some parameters to others. */
function distance(
  a: ReadonlyMap<string, readonly number[]>,
  b: ReadonlyMap<string, readonly number[]>,
): number {
  return Math.hypot(...[...a].flatMap(([name, array]) => array.map((w, i) => w - b.get(name)![i]!)));
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
  test("clipNorm limits the length of a step, and leaves shorter ones alone", async () => {
    const options = { optimizer: sgd(), gateRate: 0.05, updates };
    const still = await trained({ ...options, learningRate: 0, gateRate: 0 }, 1);
    const limited = await trained({ ...options, clipNorm: 0.1 }, 1);
    expect(distance(limited.arrays, still.arrays)).toBeCloseTo(0.05 * 0.1, 5);
    const free = await trained({ ...options, clipNorm: 1e3 }, 1);
    expect(distance(free.arrays, still.arrays)).toBeCloseTo(0.05 * still.norms[0]!, 5);
    // What is told is the length before clipping.
    expect(limited.norms).toEqual(still.norms);
  });

  test("decoupled decay leaves gates and grouped weights alone", async () => {
    // One step: after it the gradients differ.
    const decayed = await trained({ optimizer: adamw({ weightDecay: 0.5 }), updates }, 1);
    const without = await trained({ optimizer: adam(), updates }, 1);
    for (const { name, kind, initial } of decayed.parameters) {
      const decay = kind === "other" ? 0.05 * 0.5 : 0;
      const start = initial();
      const expected = without.arrays.get(name)!.map((w, i) => w - decay * start[i]!);
      expect(decayed.arrays.get(name)!).toBeAllClose(expected, tolerances.float32);
    }
    expect(new Set(decayed.parameters.map(({ kind }) => kind))).toEqual(
      new Set(["gate", "grouped", "other"]),
    );
  });
});
