import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { fusedBert, fusedVit } from "../../test/models/fused-encoder.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph, Node } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { randomInputs } from "../verify/random-inputs.ts";
import { threeOfOne } from "../../test/three-of-one.ts";
import { verify } from "../verify/verify.ts";
import { type DynamicQuantizeOptions, quantizeDynamic } from "./quantize-dynamic.ts";

const all = { minimumElements: 0 };

const reasons = (graph: Graph, options: DynamicQuantizeOptions = all): string[] =>
  quantizeDynamic(graph, options).report.skipped.map(({ node, reason }) => `${node}: ${reason}`);

const fused = ({ domain }: Node): boolean => domain !== "";

describe("what stays, and why", () => {
  test("every layer that is left is in the report", () => {
    const net = new GraphBuilder(10);
    const x = net.input("x", ["batch", 8, 8]);
    const flat = net.input("flat", [8, 8]);
    const given = net.weight("given", [8, 8]);
    net.graph.declareInput(given);
    const outputs = [
      net.op("MatMul", [x, x], {}, "scores"),
      net.op("MatMul", [net.weight("left", [8, 8]), x], {}, "left"),
      net.op("MatMul", [x, net.weight("many", [2, 8, 8])], {}, "many"),
      net.op("MatMul", [x, given], {}, "default"),
      net.op("Gemm", [flat, net.weight("wa", [8, 8])], { transA: int(1) }, "turned"),
      net.op("Gemm", [flat, net.weight("wb", [8, 8]), flat], { beta: float(2) }, "scaled"),
      net.matmul("kept", x, [8, 8], false),
      net.matmul("small", x, [8, 2], false),
    ];
    expect(
      reasons(net.output(...outputs), { minimumElements: 17, exclude: ["kept"] }),
    ).toMatchInlineSnapshot(`
      [
        "scores: both operands are computed",
        "left: its weight is the left operand",
        "many: "many" has 3 axes",
        "default: "given" is an input with a default, which callers may feed",
        "turned: its data is transposed",
        "scaled: its bias is computed and scaled",
        "kept: it is excluded",
        "small: "small/kernel" has 16 elements, fewer than 17",
      ]
    `);
  });

  test("fused operators stay, with the weights that they hold", async () => {
    const bert = quantizeDynamic(fusedBert(), all);
    expect(bert.report.quantized.map(({ operator }) => operator)).toEqual(
      Array.from({ length: 6 }, () => "MatMul"),
    );
    expect(bert.report.skipped.map(({ operator, reason }) => `${operator}: ${reason}`)).toEqual([
      "com.microsoft.EmbedLayerNormalization: com.microsoft.EmbedLayerNormalization holds its weight itself and stays float32",
      ...Array.from({ length: 2 }, () =>
        expect.stringMatching(/^com.microsoft.Attention: .* holds its weight itself/),
      ),
    ]);
    const vit = quantizeDynamic(fusedVit(), all);
    expect(vit.report.skipped).toEqual([]);
    for (const [dense, { graph }] of [
      [fusedBert(), bert],
      [fusedVit(), vit],
    ] as const) {
      expect(
        graph
          .nodes()
          .filter(fused)
          .map(({ op }) => op)
          .sort(),
      ).toEqual(
        dense
          .nodes()
          .filter(fused)
          .map(({ op }) => op)
          .sort(),
      );
      expect((await verify(dense, graph, { runtime: "node" })).maxRelDiff).toBeLessThan(0.05);
    }
  });

  test("a layer whose sums could pass 2^31", () => {
    const net = new GraphBuilder(11);
    const graph = net.output(
      net.op("MatMul", [net.input("x", ["batch", 34_000]), net.weight("w", [34_000, 1])], {}, "deep"),
    );
    expect(reasons(graph, { weightType: "uint8" })).toEqual(["deep: its sums could pass 2^31"]);
    expect(reasons(graph)).toEqual([]);
  });

  test("a weight that is an output too stays beside its codes", async () => {
    const net = new GraphBuilder(12);
    const y = net.matmul("fc", net.input("x", ["batch", 16]), [16, 8], false);
    const graph = net.output(y, net.graph.value("fc/kernel")!);
    const { graph: small } = quantizeDynamic(graph, all);
    const feeds = randomInputs(graph, randomGenerator(1));
    const [before, after] = [await outputsOf(graph, feeds), await outputsOf(small, feeds)];
    expect(outputDifference(after, before)).toBeLessThan(0.05);
  });

  test("quantizing twice changes nothing", () => {
    const once = quantizeDynamic(threeOfOne(), all).graph;
    const { graph, report } = quantizeDynamic(once, all);
    expect(String(graph)).toBe(String(once));
    expect(report.skipped.map(({ reason }) => reason)).toEqual(
      Array.from({ length: 3 }, () => "it is quantized already"),
    );
  });
});

describe("bad calls", () => {
  const graph = threeOfOne();
  test.each([
    [{ weightType: "int4" }, "OPTION", "int4"],
    [{ operators: ["Add"] }, "OPTION", "Add"],
    [{ minimumElements: -1 }, "OPTION", "-1"],
    [{ exclude: ["nobody"] }, "NO_MATCH", "nobody"],
  ])("%o", (options, code, part) => {
    // Callers without types.
    expect(() => quantizeDynamic(graph, options as DynamicQuantizeOptions)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(part) }),
    );
  });

  test("a weight that is no number is named, and nothing is changed", () => {
    const net = new GraphBuilder(13);
    const broken = net.output(net.matmul("fc", net.input("x", ["batch", 4]), [4, 4]));
    const w = broken.value("fc/kernel")!;
    broken.setData(
      w,
      tensorOf(
        "float32",
        [4, 4],
        Float32Array.from({ length: 16 }, (_, i) => (i === 5 ? Number.NaN : i)),
      ),
    );
    const before = String(broken);
    expect(() => quantizeDynamic(broken, all)).toThrow(
      expect.objectContaining({ code: "DATA", message: expect.stringMatching(/"fc\/kernel" holds NaN/) }),
    );
    expect(String(broken)).toBe(before);
  });
});
