import { makePlan, type PrunePlan } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { quantizedForms } from "../../test/models/all-quantized-forms.ts";
import { attentionNet, denseNet } from "../../test/models/quantizable.ts";
import {
  dequantizedWeights,
  dynamicInt8,
  matMulBnb4,
  matMulNBits,
  Rewriter,
} from "../../test/models/quantize.ts";
import { int } from "../graph/attribute.ts";
import { Graph } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { nf4Levels } from "../quantization/bnb4-levels.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { findSites } from "../sites/find-sites.ts";
import { prove, verify } from "../verify/verify.ts";
import { fingerprint, mask } from "./mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "./prune.ts";

/** A plan for one axis of one tensor. */
function planOf(graph: Graph, tensor: string, axis: number, dead: readonly number[]): PrunePlan {
  const size = graph.value(tensor)!.data!.shape[axis]!;
  const kept = Array.from({ length: size }, (_, i) => i).filter((i) => !dead.includes(i));
  return makePlan({
    fingerprint: fingerprint(graph),
    axes: [{ site: tensor, tensor, axis, size, blockSize: 1, kept }],
  });
}

describe("the mask means zero", () => {
  test.each(Object.keys(quantizedForms))("%s: dead outputs are zero to the last bit", async (form) => {
    // The outputs of the only layer are those of the model, so what the mask makes of them is seen.
    const float = denseNet(6, 32, [7]);
    const graph = await quantizedForms[form]!.make(float);
    const weight = findSites(graph).find(({ kind }) => kind === "neurons")!;
    const bias = graph.initializers.find(({ name }) => name.includes("/bias") && !name.endsWith("_scale"));
    const dead = [0, 4];
    const size = weight.axisSize / 7;
    const all = dead.flatMap((row) => Array.from({ length: size }, (_, i) => row * size + i));
    const first = planOf(graph, weight.tensor, weight.axis, all);
    const second = bias && planOf(graph, bias.name, bias.data!.shape.length - 1, dead);
    const masked = mask(graph, makePlan({ ...first, axes: [...first.axes, ...(second?.axes ?? [])] }));
    const runner = await openRunner(writeModel(masked), { runtime: "node" });
    const data = Float32Array.from({ length: 3 * 32 }, (_, i) => Math.sin(i) * 3);
    const [result] = Object.values(await runner.run({ x: { data, shape: [3, 32] } }));
    await runner.dispose();
    const outputs = Array.from(numbersOf(result!));
    const zeros = outputs.filter((_, i) => dead.includes(i % 7));
    expect(Math.max(...zeros.map(Math.abs))).toBeLessThanOrEqual(quantizedForms[form]!.noise ?? 0);
    expect(outputs.filter((number) => Math.abs(number) > 1e-3).length).toBeGreaterThan(10);
  });

  test("int4 weights packed along the other axis keep their neighbours", () => {
    const graph = dequantizedWeights(denseNet(7, 5, [3, 4]), { type: "int4", perChannel: true });
    const name = "fc1/quantized";
    const before = readNumbers(graph.value(name)!.data!);
    const masked = mask(graph, planOf(graph, name, 1, [1]));
    const zero = readNumbers(graph.value("fc1/zero_point")!.data!)[1];
    const expected = [...before].map((code, i) => (i % 3 === 1 ? zero : code));
    expect([...readNumbers(masked.value(name)!.data!)]).toEqual(expected);
    expect(masked.value("fc1/scale")!.data).toEqual(graph.value("fc1/scale")!.data);
  });

  test("readers with different zero points are refused, and so is a part of a block", () => {
    const to = new Rewriter(new Graph("two", [["", 21]]));
    const weight = to.constant("weight", "int8", [2, 2], [1, 2, 3, 4]);
    for (const zero of [0, 1])
      to.graph.addOutput(
        to.op("DequantizeLinear", [weight, to.scalar("s", "float32", 1), to.scalar("z", "int8", zero)]),
      );
    expect(() => mask(to.graph, planOf(to.graph, "weight", 1, [0]))).toThrow(/different zero points/);
    const packed = matMulBnb4(denseNet(8, 32, [16, 4]), 16, 1, nf4Levels);
    expect(() => mask(packed, planOf(packed, "fc1/packed", 0, [0, 1]))).toThrow(/part of a block of 16/);
  });
});

describe("what dynamic ranges see", () => {
  test("rows that read what is not zero stay: without them the range would be another", async () => {
    const float = attentionNet(9, { width: 16, heads: 2, headDim: 8, neurons: 24 });
    const graph = dynamicInt8(float);
    const plan = planOf(graph, "ffn/down/quantized", 0, [1, 2]);
    const { graph: pruned, report } = prune(graph, plan);
    expect(report.keptBack).toHaveLength(1);
    expect(report.keptBack[0]!.groups).toEqual([1, 2]);
    expect(report.keptBack[0]!.reason).toMatch(
      /DynamicQuantizeLinear .* takes its range from it, and it is not zero there/,
    );
    expect((await verify(mask(graph, plan), pruned)).maxAbsDiff).toBe(0);
  });

  test("features of the model's input are gathered after the range is taken, and are not cut before it", async () => {
    const graph = dynamicInt8(denseNet(10, 12, [16, 4]));
    const plan = planFrom(findSites(graph), { keep: 0.5, sites: ["inputs"] });
    const gathered = prune(graph, plan);
    expect(gathered.report.removed).toEqual([{ site: "fc1.inputs", groups: 12, kept: 6 }]);
    expect((await verify(mask(graph, plan), gathered.graph)).maxAbsDiff).toBe(0);
    const { report } = prune(graph, plan, { inputs: "resize" });
    expect(report.keptBack[0]!.reason).toMatch(/takes its range/);
  });
});

describe("embeddings", () => {
  test("columns of a table that is quantized in blocks go in whole blocks", async () => {
    for (const [type, packed] of [
      ["int4", false],
      ["uint8", true],
    ] as const) {
      const to = new Rewriter(new Graph("embedding", [["", 21]]));
      const ids = to.graph.addInput("ids", { dtype: "int64", shape: ["batch", 3] });
      const columns = packed ? 32 : 64;
      const codes = Array.from({ length: 10 * columns }, (_, i) =>
        packed ? (i * 37) % 256 : ((i * 7) % 16) - 8,
      );
      const table = to.constant("table", type, [10, columns], codes);
      const scales = to.constant(
        "scales",
        "float32",
        [10, 4],
        Array.from({ length: 40 }, (_, i) => 0.01 * (i + 1)),
      );
      const attributes = { gather_axis: int(0), quantize_axis: int(1), block_size: int(16) };
      const x = to.op("GatherBlockQuantized", [table, ids, scales], attributes, "embed", "com.microsoft");
      const w = to.constant(
        "w",
        "float32",
        [64, 5],
        Array.from({ length: 320 }, (_, i) => Math.sin(i)),
      );
      to.graph.addOutput(to.op("MatMul", [x, w], {}, "head"));
      const site = findSites(to.graph).find(({ kind }) => kind === "dimensions")!;
      expect(site).toMatchObject({ prunable: true, groups: 4 });
      const plan = planFrom([site], { keep: 0.5, sites: ["dimensions"] });
      const { graph: pruned, report } = prune(to.graph, plan);
      expect(pruned.value("w")!.data!.shape).toEqual([32, 5]);
      expect(pruned.value("scales")!.data!.shape).toEqual([10, 2]);
      expect(report.keptBack).toEqual([]);
      expect((await verify(mask(to.graph, plan), pruned, { runtime: "node" })).maxRelDiff).toBeLessThan(1e-6);
    }
  });

  test.each(["table", "rows"] as const)(
    "a table is dequantized as a whole, or its %s that are looked up",
    async (what) => {
      const to = new Rewriter(new Graph("embedding", [["", 21]]));
      const ids = to.graph.addInput("ids", { dtype: "int64", shape: ["batch", 3] });
      const table = to.constant(
        "table",
        "uint8",
        [11, 8],
        Array.from({ length: 88 }, (_, i) => (i * 29) % 256),
      );
      const [scale, zero] = [to.scalar("scale", "float32", 0.02), to.scalar("zero", "uint8", 120)];
      const x =
        what === "table"
          ? to.op("Gather", [to.op("DequantizeLinear", [table, scale, zero]), ids], {}, "embed")
          : to.op("DequantizeLinear", [to.op("Gather", [table, ids], {}, "embed"), scale, zero]);
      const w = to.constant(
        "w",
        "float32",
        [8, 5],
        Array.from({ length: 40 }, (_, i) => Math.sin(i)),
      );
      to.graph.addOutput(to.op("MatMul", [x, w], {}, "head"));
      const plan = planFrom(findSites(to.graph), { keep: 0.5, sites: ["embed.dimensions"] });
      const { graph: pruned } = prune(to.graph, plan);
      expect(pruned.value("table")!.data!.shape).toEqual([11, 4]);
      expect((await verify(mask(to.graph, plan), pruned, { runtime: "node" })).maxRelDiff).toBeLessThan(1e-6);
    },
  );
});

test("a quantized model's difference is reported, and a wrong one refused", async () => {
  const graph = dynamicInt8(denseNet(11, 16, [24, 5]));
  const exact = await prove(graph, graph, { runtime: "node" });
  expect(exact).toMatchObject({ equal: true, quantized: true, acceptable: true, limit: 0.05, maxAbsDiff: 0 });
  const coarser = dynamicInt8(denseNet(11, 16, [24, 5]), { perChannel: true });
  const found = await prove(graph, coarser, { runtime: "node" });
  expect(found).toMatchObject({ equal: false, acceptable: true });
  expect(found.maxRelDiff).toBeGreaterThan(1e-4);
  const other = dynamicInt8(denseNet(12, 16, [24, 5]));
  await expect(prove(graph, other, { runtime: "node" })).rejects.toThrow(
    /more than 0.05; nothing was written/,
  );
  const packed = matMulNBits(denseNet(11, 16, [32, 5]), { bits: 4, blockSize: 16 });
  expect(await verify(packed, packed, { runtime: "node" })).toMatchObject({ quantized: false, limit: 1e-4 });
});
