import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import {
  decomposed,
  decomposedDifference,
  type Feeds,
  largestDifference,
  runOnce,
  type SingleNode,
  singleNode,
} from "../../test/decomposed-difference.ts";
import { fusedDecoder } from "../../test/models/fused-decoder.ts";
import { fusedBert, fusedVit } from "../../test/models/fused-encoder.ts";
import { unfused } from "../../test/models/unfused.ts";
import { type Attribute, float, floats, int, ints, string } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { randomInputs } from "../verify/random-inputs.ts";
import { attentionDecompositions } from "./attention-decompositions.ts";
import { fusedDecompositions } from "./fused-decompositions.ts";

type Attributes = Readonly<Record<string, Attribute>>;

const limit = 1e-5;
const compareSingle = (single: SingleNode): Promise<number> => {
  const { graph, feeds } = singleNode(single);
  return decomposedDifference(graph, fusedDecompositions, feeds);
};

const random = (graph: Graph): Feeds => randomInputs(graph, randomGenerator(4), { batch: 2, time: 3 });
const int32 = (shape: readonly number[], values: readonly number[]) => tensorOf("int32", shape, values);

describe("whole models", () => {
  const table = { ...attentionDecompositions, ...fusedDecompositions };
  const decoder = fusedDecoder({ rotary: true });
  test.each([
    ["BERT", fusedBert(), random],
    ["a ViT", fusedVit(), random],
    ["a decoder", decoder.graph, () => decoder.feeds(3, 2)],
  ] as const)("%s", async (_, graph, feeds) => {
    expect(await decomposedDifference(graph, table, feeds(graph))).toBeLessThan(limit);
    const plain = decomposed(graph, table);
    expect(plain.nodes().filter(({ domain }) => domain !== "")).toEqual([]);
    expect(plain.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
  });
});

describe("normalisations", () => {
  const epsilon = { epsilon: float(1e-3) };
  const ids = int32([2, 3], [1, 4, 0, 2, 2, 3]);
  const tables = [
    [5, 8],
    [4, 8],
    [2, 8],
  ];
  const forms: readonly (readonly [string, SingleNode])[] = [
    ["SkipLayerNormalization", { op: "", inputs: [[2, 3, 8], [2, 3, 8], [8], [8]], attributes: epsilon }],
    ["SkipLayerNormalization", { op: "", inputs: [[2, 3, 8], [1, 3, 8], [8], undefined, [8]], outputs: 4 }],
    ["SkipLayerNormalization", { op: "", inputs: [[2, 3, 8], [3, 8], [8], [8], [8]], outputs: 4 }],
    ["SkipSimplifiedLayerNormalization", { op: "", inputs: [[2, 3, 8], [2, 3, 8], [8], [8]], outputs: 4 }],
    [
      "SkipSimplifiedLayerNormalization",
      { op: "", inputs: [[2, 3, 8], [2, 3, 8], [8]], attributes: epsilon },
    ],
    [
      "EmbedLayerNormalization",
      {
        op: "",
        inputs: [
          ids,
          int32([2, 3], [0, 1, 1, 0, 0, 1]),
          ...tables,
          [8],
          [8],
          int32([2, 3], [1, 1, 0, 1, 1, 1]),
          int32([2, 3], [3, 2, 1, 0, 1, 2]),
        ],
        outputs: 3,
        attributes: { ...epsilon, mask_index_type: int(1) },
      },
    ],
    [
      "EmbedLayerNormalization",
      {
        op: "",
        inputs: [ids, undefined, tables[0]!, tables[1]!, undefined, [8], [8]],
        outputs: 3,
      },
    ],
  ];
  test.each(forms)("%s %o", async (op, single) => {
    const skipped = op.startsWith("Skip") && single.outputs === 4 ? [1, 2] : [];
    expect(await compareSingle({ ...single, op, skipped })).toBeLessThan(limit);
  });

  test("statistics are refused", () => {
    const inputs = [[2, 3, 8], [2, 3, 8], [8]];
    const { graph } = singleNode({ op: "SkipLayerNormalization", inputs, outputs: 2 });
    expect(() => decomposed(graph, fusedDecompositions)).toThrow(
      /com\.microsoft\.SkipLayerNormalization "node" \(domain "com\.microsoft"\).*statistics/,
    );
  });
});

describe("activations", () => {
  const x = [2, 3, 8];
  const forms: readonly (readonly [string, SingleNode["inputs"], Attributes])[] = [
    ["BiasGelu", [x, [8]], {}],
    ["FastGelu", [x, [8]], {}],
    ["FastGelu", [x], {}],
    ["QuickGelu", [x], {}],
    ["QuickGelu", [x], { alpha: float(1.3) }],
    ["Gelu", [x], {}],
  ];
  test.each(forms)("%s %o", async (op, inputs, attributes) => {
    expect(await compareSingle({ op, inputs, attributes })).toBeLessThan(limit);
  });

  test.each([
    ["BiasAdd", [x, [8], x]],
    ["BiasSplitGelu", [x, [8]]],
  ] as const)("%s, against a definition: no CPU kernel has it", async (op, inputs) => {
    const { graph, feeds } = singleNode({ op, inputs, opset: 21 });
    const expected = unfused(graph);
    expected.rename(expected.outputs[0]!, "output_0");
    const found = decomposed(graph, fusedDecompositions);
    expect(largestDifference(await runOnce(expected, feeds), await runOnce(found, feeds))).toBeLessThan(
      limit,
    );
  });

  test("BiasSoftmax is Softmax of a sum over the last axis; several axes are refused", () => {
    const inputs = [
      [2, 4, 3, 3],
      [2, 1, 1, 3],
    ];
    const single = (axis: number): Graph =>
      singleNode({ op: "BiasSoftmax", inputs, attributes: { axis: int(axis) } }).graph;
    const ops = decomposed(single(3), fusedDecompositions)
      .nodes()
      .map(({ op }) => op);
    expect(ops).toEqual(["Add", "Softmax"]);
    expect(() => decomposed(single(1), fusedDecompositions)).toThrow(/BiasSoftmax "node".*several axes/);
  });
});

describe("products", () => {
  const flags = [0, 1].flatMap((a) => [0, 1].map((b) => [a, b] as const));
  test.each(flags)("FusedMatMul, A turned %d, B turned %d", async (transA, transB) => {
    const attributes = { alpha: float(-0.7), transA: int(transA), transB: int(transB) };
    const inputs = [transA ? [2, 5, 3] : [2, 3, 5], transB ? [2, 4, 5] : [2, 5, 4]];
    expect(await compareSingle({ op: "FusedMatMul", inputs, attributes })).toBeLessThan(limit);
  });

  test.each(flags)("FusedMatMul, batch axes inside, A turned %d, B turned %d", async (transA, transB) => {
    const attributes = {
      transBatchA: int(1),
      transBatchB: int(1),
      transA: int(transA),
      transB: int(transB),
    };
    const inputs = [transA ? [5, 2, 2, 3] : [3, 2, 2, 5], transB ? [4, 2, 2, 5] : [5, 2, 2, 4]];
    expect(await compareSingle({ op: "FusedMatMul", inputs, attributes })).toBeLessThan(limit);
  });

  test.each(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Elu", "Softplus", "Softsign"])(
    "FusedGemm with %s",
    async (activation) => {
      const attributes = {
        transB: int(1),
        alpha: float(0.5),
        beta: float(2),
        activation: string(activation),
        activation_alpha: float(0.3),
        activation_beta: float(0.4),
      };
      const inputs = [[3, 5], [4, 5], [4]];
      expect(await compareSingle({ op: "FusedGemm", inputs, attributes })).toBeLessThan(limit);
    },
  );

  test.each([
    ["Relu", []],
    ["Clip", [-0.5, 0.7]],
    ["HardSigmoid", [0.3, 0.4]],
    ["LeakyRelu", [0.3]],
    ["Sigmoid", []],
    ["Tanh", []],
  ] as const)("FusedConv with %s, with and without something added", async (activation, parameters) => {
    const attributes = {
      activation: string(activation),
      ...(parameters.length > 0 && { activation_params: floats(parameters) }),
      kernel_shape: ints([3, 3]),
    };
    const inputs = [[2, 2, 6, 6], [4, 2, 3, 3], [4], [2, 4, 4, 4]];
    for (const count of [2, 3, 4]) {
      const single = { op: "FusedConv", inputs: inputs.slice(0, count), attributes };
      expect(await compareSingle(single)).toBeLessThan(limit);
    }
  });

  test("an activation that is not known is refused by its name", () => {
    const inputs = [
      [3, 5],
      [5, 4],
    ];
    const { graph } = singleNode({ op: "FusedGemm", inputs, attributes: { activation: string("Swirl") } });
    expect(() => decomposed(graph, fusedDecompositions)).toThrow(/FusedGemm "node".*"Swirl"/);
  });
});
