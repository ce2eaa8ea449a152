import { findSites, type Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { classBatches, mlp } from "../../test/train/nets.ts";
import { insertGates } from "../gating/insert-gates.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { crossEntropy } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { train } from "./train.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const common = { loss: crossEntropy(), learningRate: 0.1, optimizer: sgd() };

/** A model after some steps, its gates folded. */
async function after(steps: number, options: Partial<TrainerOptions>, model = mlp()): Promise<Graph> {
  const trainer = await openTrainer(model, { ...common, ...options });
  await trainer.fit(classBatches(steps), { steps });
  const { graph } = await trainer.fold();
  await trainer.dispose();
  return graph;
}

/** Columns of a kernel `[inputs, outputs]`. */
function columns(graph: Graph, name: string): Float64Array[] {
  const { data } = graph.value(name)!;
  const [rows, count] = data!.shape as [number, number];
  const numbers = readNumbers(data!);
  return Array.from({ length: count }, (_, j) =>
    Float64Array.from({ length: rows }, (_row, i) => numbers[i * count + j]!),
  );
}

const mean = (part: Float64Array): number => part.reduce((a, b) => a + b, 0) / part.length;

const norm = (x: Float64Array): number => Math.hypot(...x);

describe.each(["graph", "host"] as const)("plain training, updates in the %s,", (updates) => {
  test("is that of gates that stay ones without a penalty", async () => {
    const plain = await after(5, { gate: "none", updates });
    const gated = await after(5, { train: "all", lambda: 0, initial: "ones", gateRate: 0, updates });
    for (const { name, data } of plain.initializers) {
      const [a, b] = [readNumbers(data!), readNumbers(gated.value(name)!.data!)];
      a.forEach((x, i) => expect(Math.abs(x - b[i]!)).toBeLessThan(1e-6));
    }
  });
});

describe("the sub-gradient of the sparse penalty", () => {
  test.each([
    [2, "graph"],
    [3, "graph"],
    [4, "host"],
  ] as const)(
    "D = %i, updates in the %s: one step is that of plain training less η·λ·q·‖w‖^(q−2)·w",
    async (depth, updates) => {
      const [start, lambda, q] = [mlp(), 0.03, 2 / depth];
      const plain = await after(1, { gate: "none" });
      const sparse = await after(1, { penalty: "sparse", depth, lambda, train: "all", updates });
      for (const name of ["fc1/kernel", "fc2/kernel"]) {
        const [w, a, b] = [start, plain, sparse].map((graph) => columns(graph, name));
        w!.forEach((column, j) =>
          column.forEach((weight, i) => {
            const slope = lambda * q * norm(column) ** (q - 2) * weight;
            expect(b![j]![i]! - (a![j]![i]! - 0.1 * slope)).toBeCloseTo(0, 6);
          }),
        );
      }
      const [free, same] = [sparse, plain].map((graph) => columns(graph, "out/kernel").map(norm));
      free!.forEach((length, j) => expect(length).toBeCloseTo(same![j]!, 6));
    },
  );
});

describe("the proximal operator", () => {
  test.each([
    [sgd(), 1],
    [sgd({ momentum: 0.9 }), 10],
  ] as const)(
    "of D = 2 shortens every group by η·λ after the first step, and by more with momentum",
    async (optimizer, stride) => {
      const lambda = 0.02;
      const plain = await after(1, { gate: "none", optimizer });
      const shrunk = await after(1, { penalty: "proximal", lambda, train: "all", optimizer });
      for (const name of ["fc1/kernel", "fc2/kernel"]) {
        const [long, short] = [plain, shrunk].map((graph) => columns(graph, name).map(norm));
        long!.forEach((length, j) =>
          expect(short![j]).toBeCloseTo(Math.max(0, length - 0.1 * lambda * stride), 5),
        );
      }
    },
  );

  test.each([2, 3, 4])("of D = %i makes groups exactly zero, and prune removes them", async (depth) => {
    const trainer = await openTrainer(mlp(), {
      ...common,
      penalty: "proximal",
      depth,
      lambda: 0.1,
      train: "all",
    });
    await trainer.fit(classBatches(150), { steps: 150 });
    const dead = (await trainer.norms()).flatMap(({ norms }) => [...norms]).filter((length) => length === 0);
    expect(dead.length).toBeGreaterThan(3);
    const { decisions, verification } = await trainer.prune();
    const removed = decisions.reduce((sum, { groups, kept }) => sum + groups - kept.length, 0);
    expect(removed).toBeGreaterThanOrEqual(dead.length - decisions.length);
    expect(verification!.maxAbsDiff).toBeLessThan(1e-5);
    await trainer.dispose();
  });
});

describe("is refused:", () => {
  const gates = insertGates(mlp(), findSites(mlp()));
  test.each<[string, Graph, Partial<TrainerOptions>, string]>([
    [
      "gates of nothing",
      mlp(),
      { gate: "none", train: "gates" },
      'train is gates, expected all, for gate is "none"',
    ],
    [
      "a target of nothing",
      mlp(),
      { gate: "none", lambda: { target: 0.5 } },
      "lambda is a target, expected left out",
    ],
    [
      "a penalty of nothing",
      mlp(),
      { gate: "none", penalty: "sparse" },
      "penalty is sparse, expected left out",
    ],
    [
      "an unknown penalty",
      mlp(),
      { penalty: "l0" as "sparse" },
      "penalty is l0, expected one of smooth, sparse, proximal",
    ],
    [
      "frozen weights without gates",
      mlp(),
      { penalty: "sparse", train: "gates" },
      "train is gates, expected groups or all",
    ],
    [
      "a proximal operator in the graph",
      mlp(),
      { penalty: "proximal", updates: "graph" },
      "updates is graph, expected host",
    ],
    [
      "a depth without closed form",
      mlp(),
      { penalty: "proximal", depth: 5 },
      "depth is 5, expected 2, 3 or 4",
    ],
    ["a gated model without its gates", gates, { gate: "none" }, "fold them first"],
    ["a gated model with another penalty", gates, { penalty: "proximal" }, "fold them first"],
  ])("%s", async (_, model, options, message) => {
    await expect(openTrainer(model, { ...common, ...options })).rejects.toThrow(message);
  });

  test.each<[string, Partial<TrainerOptions>, string]>([
    [
      "an unknown constant",
      { freeze: ["fc9/kernel"], train: "all" },
      'freeze is "fc9/kernel", expected the name of a constant',
    ],
    [
      "what is not trained anyway",
      { freeze: ["fc1/bias"] },
      'freeze is given with train "groups", expected left out',
    ],
  ])("to freeze %s", async (_, options, message) => {
    await expect(openTrainer(mlp(), { ...common, ...options })).rejects.toThrow(message);
  });

  test("pruning where nothing is gated", async () => {
    const trainer = await openTrainer(mlp(), { ...common, gate: "none" });
    expect(await trainer.norms()).toEqual([]);
    await expect(trainer.prune()).rejects.toThrow("nothing is gated");
    await trainer.dispose();
  });
});

test("a pruned model is trained on plainly", async () => {
  const trainer = await openTrainer(mlp(), { ...common, lambda: 0.05, depth: 3, train: "all" });
  await trainer.fit(classBatches(200), { steps: 200 });
  const { graph: small } = await trainer.prune();
  await trainer.dispose();
  const tuner = await openTrainer(small, { ...common, gate: "none" });
  const { losses } = await tuner.fit(classBatches(200, { seed: 5 }), {
    steps: 200,
  });
  await tuner.dispose();
  expect(mean(losses.slice(-20))).toBeLessThan(mean(losses.slice(0, 20)));
});

test("frozen constants stay as they are, to the byte", async () => {
  const before = mlp();
  const tuned = await after(3, { gate: "none", freeze: ["fc1/kernel", "fc1/bias"] }, before);
  const changed = before.initializers.filter(
    ({ name, data }) => Buffer.compare(data!.bytes, tuned.value(name)!.data!.bytes) !== 0,
  );
  expect(changed.map(({ name }) => name).sort()).toEqual([
    "fc2/bias",
    "fc2/kernel",
    "out/bias",
    "out/kernel",
  ]);
});

test.each(["sparse", "proximal"] as const)(
  "penalty %s of groups that the loss does not see is refused",
  async (penalty) => {
    const net = new GraphBuilder(3, 18);
    const x = net.input("x", ["batch", 8]);
    const seen = net.gemm("seen", net.op("Relu", [net.gemm("a", x, [8, 6])]), [6, 3]);
    const unseen = net.gemm("unseen", net.op("Relu", [net.gemm("b", x, [8, 6])]), [6, 3]);
    net.graph.rename(seen, "logits");
    const options = { ...common, loss: crossEntropy({ logits: "logits" }), gate: ["neurons"], penalty };
    await expect(openTrainer(net.output(seen, unseen), options)).rejects.toThrow(
      'groups of site "b.neurons"',
    );
  },
);

const open = (options: Partial<TrainerOptions>) =>
  openTrainer(mlp(), { ...common, train: "all", ...options });

test("a checkpoint of another penalty or depth is refused", async () => {
  const first = await open({ penalty: "sparse", depth: 3 });
  await first.fit(classBatches(2), { steps: 2 });
  const saved = await first.save();
  const same = await open({ penalty: "sparse", depth: 3 });
  same.restore(saved);
  expect(same.step).toBe(2);
  for (const options of [
    { penalty: "sparse", depth: 4 },
    { penalty: "proximal", depth: 3 },
  ] as const) {
    const other = await open(options);
    expect(() => other.restore(saved)).toThrow("its penalty is sparse, D = 3");
    await other.dispose();
  }
  await Promise.all([first.dispose(), same.dispose()]);
});

test("train needs something to prune", async () => {
  await expect(train(mlp(), classBatches(1), { ...common, gate: "none", steps: 1 })).rejects.toThrow(
    "nothing to prune",
  );
});
