import { findSites } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { classBatches, mlp, normals } from "../../test/train/nets.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { crossEntropy, meanSquaredError } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const targets = { data: normals(2, 96), shape: [32, 3] };
const batches = [...classBatches(40)].map(({ x }) => ({ x: x!, targets }));

async function open(options: Partial<TrainerOptions>) {
  const graph = mlp();
  return openTrainer(graph, {
    sites: findSites(graph),
    loss: meanSquaredError(),
    optimizer: sgd(),
    train: "all",
    ...options,
  });
}

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail("it went on"),
    (cause: unknown) => cause as { code: string; message: string },
  );

describe.each(["host", "graph"] as const)(
  "training that leaves the finite numbers, updates in the %s,",
  (updates) => {
    test("stops with step, loss and likely cause; the parameters are those of the step before", async () => {
      const trainer = await open({ learningRate: 30, updates });
      const kept = new Map<number, Uint8Array>();
      const { code, message } = await failure(
        trainer.fit(batches, {
          checkpoint: { every: 1, save: ({ arrays }) => void kept.set(trainer.step, arrays) },
        }),
      );
      expect(code).toBe("DIVERGED");
      const step = trainer.step + 1;
      expect(step).toBeGreaterThan(1);
      expect(message).toContain(`at step ${step} the loss is `);
      expect(message).toMatch(/loss is (NaN|Infinity)|gradient (NaN|Infinity)/);
      expect(message).toContain("learning rate");
      expect(message).toContain("30");
      expect(message).toContain(`as after step ${step - 1}`);
      expect((await trainer.save()).arrays).toEqual(kept.get(step - 1));
      // What is there can be read, and is finite.
      for (const { norms } of await trainer.norms()) expect([...norms].every(Number.isFinite)).toBe(true);
      await trainer.dispose();
    });

    test("goes on from a checkpoint with a lower rate", async () => {
      const wild = await open({ learningRate: 30, updates });
      const start = await wild.save();
      await failure(wild.fit(batches));
      await wild.dispose();
      const calm = await open({ learningRate: 0.01, updates });
      calm.restore(start);
      const { losses } = await calm.fit(batches);
      expect(losses.at(-1)!).toBeLessThan(losses[0]!);
      await calm.dispose();
    });
  },
);

test("a λ far too large is named as the cause where the penalty overflows", async () => {
  const trainer = await open({ learningRate: 1, lambda: 1e9 });
  const { code, message } = await failure(trainer.fit(batches));
  expect(code).toBe("DIVERGED");
  expect(message).toContain("λ (1000000000)");
  await trainer.dispose();
});

test("a model that gives NaN at once is the cause itself", async () => {
  const net = new GraphBuilder(3, 18);
  const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
  const y = net.op("Log", [net.gemm("out", h, [10, 3])]);
  const graph = net.output(y);
  const trainer = await openTrainer(graph, { sites: findSites(graph), loss: meanSquaredError() });
  const { code, message } = await failure(trainer.fit(batches));
  expect(code).toBe("DIVERGED");
  expect(message).toContain("at step 1 the loss is NaN");
  expect(message).toContain("the model itself gives this on the first batch");
  await trainer.dispose();
});

test("after a restart the first step is not taken for the first of training", async () => {
  const trainer = await open({ learningRate: 30 });
  await trainer.fit(batches.slice(0, 1));
  const checkpoint = await trainer.save();
  await trainer.dispose();
  const next = await open({ learningRate: 30 });
  next.restore(checkpoint);
  const { message } = await failure(next.fit(batches));
  expect(message).not.toContain("the first batch");
  await next.dispose();
});

test("a gradient that is not finite where the loss is: a root at zero", async () => {
  const net = new GraphBuilder(3, 18);
  const h = net.gemm("fc", net.input("x", ["batch", 8]), [8, 10], { bias: false });
  const y = net.op("Sqrt", [net.op("Mul", [h, h])]);
  const graph = net.output(net.gemm("out", y, [10, 3]));
  const trainer = await openTrainer(graph, { sites: findSites(graph), loss: crossEntropy() });
  const [good] = [...classBatches(1)];
  await trainer.fit([good!]);
  const zeros = {
    x: tensorOf("float32", [2, 8], new Float32Array(16)),
    labels: { data: [0, 1], shape: [2] },
  };
  const { code, message } = await failure(trainer.fit([zeros]));
  expect(code).toBe("DIVERGED");
  expect(message).toContain("the loss is finite but its gradient is not");
  await trainer.dispose();
});
