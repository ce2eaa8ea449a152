import { randomGenerator } from "@dgate/core";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { randomInputs } from "./random-inputs.ts";
import { prove, verify } from "./verify.ts";

function model(seed = 1): Graph {
  const net = new GraphBuilder(seed);
  return net.output(net.gemm("fc", net.input("x", ["batch", 5]), [5, 3]));
}

test("a model equals itself in both runtimes", async () => {
  for (const runtime of ["node", "web"] as const) {
    expect(await verify(model(), model(), { runtime })).toMatchObject({
      maxAbsDiff: 0,
      maxRelDiff: 0,
      equal: true,
      runtime,
    });
  }
});

test("a cache that the first model takes only empty is counted", async () => {
  const net = new GraphBuilder();
  const cache = net.input("cache", ["past_length", 5]);
  const onlyEmpty = net.op("Reshape", [cache, net.integers("shape", [0])]);
  const refusing = net.output(net.gemm("fc", net.input("x", ["batch", 5]), [5, 3]), onlyEmpty);
  const { emptiedCaches, equal } = await verify(refusing, refusing, { runs: 3 });
  expect({ emptiedCaches, equal }).toEqual({ emptiedCaches: 2, equal: true });
  expect((await verify(model(), model(), { runs: 3 })).emptiedCaches).toBe(0);
});

test("a cancelled comparison ends with ABORTED", async () => {
  await expect(verify(model(), model(), { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "ABORTED",
  });
});

test("a single changed weight shows as the difference that it makes", async () => {
  const changed = model();
  const bias = changed.value("fc/bias")!;
  changed.setData(
    bias,
    tensorOf(
      "float32",
      [3],
      readNumbers(bias.data!).map((b, i) => (i === 1 ? b + 0.5 : b)),
    ),
  );
  const found = await verify(model(), changed);
  expect(found.equal).toBe(false);
  expect(found.maxAbsDiff).toBeCloseTo(0.5, 5);
  await expect(prove(model(), changed)).rejects.toThrow(
    /output ".*" differs by up to 5.00e-1 .* nothing was written/,
  );
  expect((await prove(model(), changed, { tolerance: 10 })).equal).toBe(true);
});

test("an output that is NaN in one model only is a difference", async () => {
  const broken = model();
  const bias = broken.value("fc/bias")!;
  broken.setData(bias, tensorOf("float32", [3], [Number.NaN, 0, 0]));
  expect((await verify(model(), broken)).maxAbsDiff).toBe(Infinity);
});

test("nothing is not proven by running nothing", async () => {
  await expect(verify(model(), model(), { runs: 0 })).rejects.toThrow(/0 random inputs and 0 given ones/);
  await expect(verify(model(), model(), { runs: Number.NaN })).rejects.toThrow(/NaN random inputs/);
  const x = tensorOf("float32", [1, 5], [1, 2, 3, 4, 5]);
  expect((await verify(model(1), model(2), { runs: 0, feeds: [{ x }] })).equal).toBe(false);
});

test("models with other outputs are not compared", async () => {
  const net = new GraphBuilder();
  const wider = net.output(net.gemm("fc", net.input("x", ["batch", 5]), [5, 4]));
  await expect(verify(model(), wider)).rejects.toThrow(/is \[1, 3\] in one model and \[1, 4\] in the other/);
});

function other(name: string, features: number): Graph {
  const net = new GraphBuilder();
  return net.output(net.gemm("fc", net.input(name, ["batch", features]), [features, 3]));
}

test("models with other inputs are not run", async () => {
  for (const runtime of ["node", "web"] as const) {
    await expect(verify(other("x", 13), other("x", 784), { runtime })).rejects.toMatchObject({
      code: "SHAPE",
      message: expect.stringContaining('"x": A takes float32[batch, 13], B takes float32[batch, 784]'),
    });
  }
  await expect(verify(other("x", 5), other("z", 5))).rejects.toThrow(
    /"x": A takes .*, B takes no such input/,
  );
});

test("random token ids stay within the vocabulary, other integers are a mask", () => {
  const net = new GraphBuilder();
  const ids = net.input("ids", ["batch", 40], "int64");
  const mask = net.input("mask", ["batch", 40], "int64");
  const embedded = net.op("Gather", [net.weight("table", [11, 4]), net.op("Identity", [ids])]);
  const graph = net.output(embedded, net.op("Abs", [mask]));
  const inputs = randomInputs(graph, randomGenerator(1), { batch: 20 });
  const tokens = readNumbers(inputs["ids"]!);
  expect([Math.min(...tokens), Math.max(...tokens), tokens.length]).toEqual([0, 10, 800]);
  expect(new Set(readNumbers(inputs["mask"]!))).toEqual(new Set([0, 1]));
});
