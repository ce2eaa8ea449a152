import { findSites, type Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { openEngine, type TrainProvider } from "./engine.ts";
import { outputLoss } from "./loss.ts";
import { outOfMemory } from "./out-of-memory.ts";
import { openTrainer } from "./trainer.ts";

/** A hidden layer of so many neurons on one feature, and the mean of what it gives. */
function wide(hidden: number): Graph {
  const net = new GraphBuilder(1, 18);
  const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 1]), [1, hidden])]);
  return net.output(net.op("ReduceMean", [net.gemm("out", h, [hidden, 1])]));
}

const rows = 2 ** 20;
const large = { x: { data: new Float32Array(rows), shape: [rows, 1] } };
const small = { x: { data: Float32Array.of(1, 2), shape: [2, 1] } };
const session = { logSeverityLevel: 4 };

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail("it ran"),
    (cause: unknown) => cause as { code: string; message: string },
  );

describe("a step that needs more memory than there is fails at once with the size, and training goes on:", () => {
  test.each([
    // 275 GB for each activation.
    ["cpu", 2 ** 16, /about \d\.\d TB/],
    // 4.29 GB for one activation: refused before the runtime takes any of it.
    ["wasm", 1023, /about \d+\.\d GB, but WebAssembly ends at 4 GB/],
  ] as const)("%s", async (provider, hidden, told) => {
    const graph = wide(hidden);
    const trainer = await openTrainer(graph, {
      sites: findSites(graph),
      loss: outputLoss(),
      provider,
      session,
    });
    await trainer.fit([small]);
    const before = await trainer.save();
    const start = performance.now();
    const { code, message } = await failure(trainer.fit([large]));
    expect(performance.now() - start).toBeLessThan(5000);
    expect(code).toBe("MEMORY");
    expect(message).toMatch(told);
    expect(message).toContain("step 2");
    expect(message).toContain("smaller batches");
    expect(Buffer.compare((await trainer.save()).arrays, before.arrays)).toBe(0);
    await trainer.fit([small]);
    expect(trainer.step).toBe(2);
    await trainer.dispose();
  });
});

describe("what the runtimes say when memory ends is understood:", () => {
  test.each([
    ["cpu", 2 ** 16],
    // More than is left of 4 GB, and more than 32 bits can count.
    ["wasm", 1023],
    ["wasm", 2048],
  ] as const)("%s with %i neurons", async (provider: TrainProvider, hidden) => {
    const engine = await openEngine({ provider, session });
    const opened = await engine.open(wide(hidden));
    const x = new engine.ort.Tensor("float32", large.x.data, large.x.shape);
    const cause = await failure(opened.run({ x }));
    await opened.release();
    const error = outOfMemory(cause, engine, 5.2e9, 7);
    expect(error.code).toBe("MEMORY");
    expect(error.message).toContain("not enough memory for step 7: it needs about 5.2 GB");
    expect(error.cause).toBe(cause);
  });

  test("an array that JavaScript cannot make", () => {
    const cause = (() => {
      try {
        return new Float32Array(2 ** 45);
      } catch (error) {
        return error;
      }
    })();
    expect(outOfMemory(cause, { provider: "cpu" }, 1, 1).code).toBe("MEMORY");
  });

  test("other failures stay what they are", async () => {
    const engine = await openEngine({ session });
    const opened = await engine.open(wide(4));
    const x = new engine.ort.Tensor("float32", new Float32Array(6), [2, 3]);
    const cause = await failure(opened.run({ x }));
    await opened.release();
    const error = outOfMemory(cause, engine, 1, 1);
    expect(error.code).toBe("CHECK");
    expect(error.message).toContain("cannot run step 1");
  });
});
