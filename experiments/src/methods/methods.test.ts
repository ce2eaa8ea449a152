import { findSites, numbersOf, openRunner, readNumbers } from "@dgate/onnx";
import { crossEntropy, openTrainer, sgd } from "@dgate/onnx/train";
import { describe, expect, test } from "vitest";
import type { Task } from "../training/task.ts";
import { drawnDigits } from "../vision/image-data.ts";
import { imageTask } from "../vision/image-task.ts";
import { graphOf, mlp } from "../vision/networks.ts";
import { allMethods } from "./all-methods.ts";
import { gradientImportance } from "./gradient-importance.ts";
import { hardConcrete, hardConcreteFaster } from "./hard-concrete.ts";
import type { Method } from "./method.ts";
import { penalised } from "./penalised.ts";

const tiny = (more: Partial<Task> = {}): Task => ({
  ...imageTask({
    data: drawnDigits(200, 100),
    flat: true,
    gate: ["neurons"],
    build: (seed) => graphOf([784], 10, mlp([12, 8]), seed),
    epochs: 6,
    batch: 20,
    rate: 0.1,
  }),
  ...more,
});

describe("every method", () => {
  const sweeps = allMethods({
    lambdas: [2.5e-2],
    direct: [2.5e-2],
    proximal: [8e-3],
    hardConcrete: [0.25],
    fromScratch: [2.5e-2],
    fractions: [0.5],
  });

  test.each(sweeps)("leaves a smaller model that runs: $method.name", async ({ method, strengths }) => {
    const task = tiny({ steps: 200 });
    const outcomes = await method.run({ task, seed: 1, backend: "cpu" }, strengths);
    expect(outcomes.map(({ strength }) => strength)).toEqual(strengths);
    const [{ graph, kept, gatedScore }] = outcomes as [(typeof outcomes)[number]];
    const score = await task.score(graph);
    // A tenth would be chance.
    expect(score).toBeGreaterThan(0.15);
    // Removal alone changes next to nothing, where nothing is trained after it.
    expect(score).toBeCloseTo(gatedScore ?? score, 1);
    const left = Object.values(kept).reduce((sum, indices) => sum + indices.length, 0);
    expect(left).toBeGreaterThanOrEqual(2);
    expect(left).toBeLessThan(20);
    // A layer of one neuron is no site.
    const counts = Object.values(kept).map(({ length }) => (length > 1 ? length : 0));
    const sites = findSites(graph).filter(({ kind, prunable }) => kind === "neurons" && prunable === true);
    expect(sites.map(({ groups }) => groups)).toEqual(counts.filter((count) => count > 0));
  });
});

/** Groups that a method leaves of the tiny network. */
async function groupsLeft(method: Method, lambda: number): Promise<number> {
  const [outcome] = await method.run({ task: tiny({ steps: 200 }), seed: 1, backend: "cpu" }, [lambda]);
  return Object.values(outcome!.kept).reduce((sum, { length }) => sum + length, 0);
}

test.each([1, 3])(
  "hard-concrete gates move as many times further as they are faster, after %i steps",
  async (steps) => {
    // The weights stay next to where they are, the locations move by λ.
    const task = tiny({ steps, learningRate: 1e-7 });
    const { data } = (await task.build(1)).initializers.find(({ data: each }) => each?.shape.length === 2)!;
    const [start] = readNumbers(data!);
    const gateAfter = async (method: Method): Promise<number> => {
      const [outcome] = await method.run({ task, seed: 1, backend: "cpu" }, [1e5]);
      const kernel = outcome!.graph.initializers.find(({ data: each }) => each?.shape.length === 2)!;
      return readNumbers(kernel.data!)[0]! / start!;
    };
    // σ(log 4)·1.2 − 0.1 is where it starts.
    const [plain, fast] = [
      0.86 - (await gateAfter(hardConcrete)),
      0.86 - (await gateAfter(hardConcreteFaster(10))),
    ];
    expect(plain).toBeGreaterThan(1e-5);
    expect(fast / plain).toBeGreaterThan(9.5);
    expect(fast / plain).toBeLessThan(10.5);
  },
);

test("hard-concrete gates that learn faster close sooner", async () => {
  expect(await groupsLeft(hardConcreteFaster(30), 0.1)).toBeLessThan(await groupsLeft(hardConcrete, 0.1));
});

test("balancing on the way leaves the schedule as it is", async () => {
  const seen: number[] = [];
  const learningRate = (progress: number): number => {
    seen.push(progress);
    return 0.01;
  };
  const method = penalised("balanced", { depth: 3, rebalance: 2, learningRate }, { colour: 1 });
  await method.run({ task: tiny(), seed: 1, backend: "cpu" }, [1e-3]);
  const distinct = [...new Set(seen)].map((each) => Number(each.toFixed(6)));
  expect(distinct).toEqual(Array.from({ length: 60 }, (_, i) => Number((i / 60).toFixed(6))));
});

test("gradient importance is E|⟨w_j, ∂L/∂w_j⟩|", async () => {
  const task = tiny();
  const dense = await task.build(1);
  const [batch] = task.calibration(1);
  const scores = await gradientImportance(
    { task: { ...task, calibration: () => [batch!] }, seed: 1, backend: "cpu" },
    dense,
  );
  // The gradient of the kernel, from a graph that has never heard of gates.
  const trainer = await openTrainer(dense, {
    loss: crossEntropy(),
    gate: "none",
    updates: "host",
    optimizer: sgd(),
  });
  const runner = await openRunner(trainer.graph, { threads: 1 });
  const weights = trainer.parameters.map(({ name, shape }) => {
    return [
      name,
      { data: Float32Array.from(readNumbers(dense.value(name)!.data!)), shape: [...shape] },
    ] as const;
  });
  const outputs = await runner.run({
    ...Object.fromEntries(weights),
    ...batch!,
    "dgate.lambda": { data: [0], shape: [] },
  });
  const kernel = weights.find(([name]) => name === "hidden1/kernel")![1];
  const slopes = numbersOf(outputs["hidden1/kernel.gradient"]!);
  const columns = kernel.shape[1]!;
  for (let j = 0; j < columns; j++) {
    let sum = 0;
    for (let i = 0; i < kernel.shape[0]!; i++)
      sum += kernel.data[i * columns + j]! * slopes[i * columns + j]!;
    expect(scores["hidden1.neurons"]![j]).toBeCloseTo(Math.abs(sum), 5);
  }
  await runner.dispose();
  await trainer.dispose();
});
