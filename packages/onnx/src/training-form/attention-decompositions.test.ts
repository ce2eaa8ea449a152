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
import { headCount } from "../../test/models/fused-builder.ts";
import { type DecoderOptions, fusedDecoder } from "../../test/models/fused-decoder.ts";
import { attentionForms } from "../../test/models/fused-forms.ts";
import { unfused } from "../../test/models/unfused.ts";
import { type Attribute, float, int } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { randomInputs } from "../verify/random-inputs.ts";
import { attentionDecompositions } from "./attention-decompositions.ts";

type Attributes = Readonly<Record<string, Attribute>>;

const limit = 1e-5;
const compare = (graph: Graph, feeds: Feeds): Promise<number> =>
  decomposedDifference(graph, attentionDecompositions, feeds);
const compareSingle = (single: SingleNode): Promise<number> => {
  const { graph, feeds } = singleNode(single);
  return compare(graph, feeds);
};

const int32 = (shape: readonly number[], values: readonly number[]): Tensor =>
  tensorOf("int32", shape, values);
const int64 = (shape: readonly number[], values: readonly number[]): Tensor =>
  tensorOf("int64", shape, values);
const bool = (shape: readonly number[], values: readonly number[]): Tensor => tensorOf("bool", shape, values);
const some = (shape: readonly number[]): Tensor =>
  int32(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i % 4 === 3 ? 0 : 1)),
  );

/** Cosines and sines. */
const tables = (half: number): readonly (readonly number[])[] => [
  [12, half],
  [12, half],
];

/** A mask whose first query sees nothing. */
const hidden = (filler: number): Tensor =>
  tensorOf("float32", [3, 3], [filler, filler, filler, 0, 0, filler, 0.5, -1, 0]);

/** What is said of a node that is refused. */
const refusal = (single: SingleNode): string => {
  try {
    decomposed(singleNode(single).graph, attentionDecompositions);
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
};

describe("forms of fused attention compute the same as plain operators", () => {
  const forms = attentionForms.filter(({ name }) => !name.startsWith("QAttention"));
  test.each(forms)("$name", async ({ build, dims }) => {
    const graph = build();
    const sizes = { batch: 2, time: 3, others: 5, past_time: 4, ...dims };
    expect(await compare(graph, randomInputs(graph, randomGenerator(3), sizes))).toBeLessThan(limit);
  });

  test("32 of the 34 forms are there; QAttention is dequantized before", () => {
    expect(forms).toHaveLength(attentionForms.length - 2);
    expect(attentionForms).toHaveLength(34);
  });
});

const decoders: readonly (readonly [past: number, tokens: number, options: DecoderOptions])[] = [
  [0, 5, {}],
  [3, 2, {}],
  [3, 1, { rotary: true }],
  [3, 2, { rotary: true, packed: true }],
  [0, 5, { caches: false, rotary: true }],
  [3, 2, { sink: true }],
  [11, 1, { scoreBias: true, sink: true }],
];
test.each(decoders)("a fused decoder with a cache of %d and %d tokens, %o", async (past, tokens, options) => {
  const { graph, feeds } = fusedDecoder(options);
  expect(await compare(graph, feeds(past, tokens))).toBeLessThan(limit);
});

describe("com.microsoft.Attention", () => {
  const two = { num_heads: int(2) };
  const causal = { ...two, unidirectional: int(1) };
  const projected = [[2, 3, 8], [8, 24], [24]] as const;
  const past = [2, 2, 2, 2, 4];
  const forms: readonly (readonly [string, SingleNode["inputs"], Attributes])[] = [
    ["rows that see padding only", [...projected, int32([2, 3], [0, 1, 1, 1, 1, 1])], causal],
    ["a mask of zeros", [...projected, int32([2, 3], [0, 0, 0, 1, 1, 1])], two],
    [
      "the lowest number as filler",
      [...projected, some([2, 3])],
      { ...causal, mask_filter_value: float(-3.4e38) },
    ],
    ["first and last keys", [[2, 4, 8], [8, 24], [24], int32([4], [3, 4, 1, 0])], two],
    ["a mask of positions and a cache", [...projected, some([2, 5]), past], causal],
    ["a mask of pairs and a cache", [...projected, some([2, 3, 5]), past], causal],
    ["lengths and a cache", [...projected, int32([2], [4, 5]), past], causal],
    [
      "masks and biases",
      [...projected, some([2, 3]), undefined, [2, 2, 3, 3]],
      { ...causal, scale: float(0.2) },
    ],
  ];
  test.each(forms)("%s", async (_, inputs, attributes) => {
    const outputs = inputs.length > 4 && inputs[4] ? 2 : 1;
    expect(await compareSingle({ op: "Attention", inputs, attributes, outputs })).toBeLessThan(limit);
  });
});

describe("com.microsoft.MultiHeadAttention", () => {
  const two = { num_heads: int(2) };
  const causal = { ...two, unidirectional: int(1) };
  const own = [
    [2, 3, 8],
    [2, 3, 8],
    [2, 3, 8],
  ] as const;
  const others = [
    [2, 3, 8],
    [2, 5, 8],
    [2, 5, 8],
  ] as const;
  const caches = [
    [2, 2, 2, 4],
    [2, 2, 2, 4],
  ] as const;
  const forms: readonly (readonly [string, SingleNode["inputs"], Attributes])[] = [
    ["causal over more keys than queries", others, causal],
    ["causal over fewer keys than queries", [[2, 5, 8], ...own.slice(1)], causal],
    ["rows that see padding only", [...own, undefined, int32([2, 3], [0, 1, 1, 1, 1, 1])], causal],
    ["lengths", [...own, undefined, int32([2], [2, 3])], two],
    ["a mask of pairs", [...others, undefined, some([2, 3, 5])], two],
    ["everything", [...own, [24], some([2, 5]), [1, 2, 3, 5], ...caches], { ...causal, scale: float(0.2) }],
  ];
  test.each(forms)("%s", async (_, inputs, attributes) => {
    const outputs = inputs.length > 6 ? 3 : 1;
    expect(await compareSingle({ op: "MultiHeadAttention", inputs, attributes, outputs })).toBeLessThan(
      limit,
    );
  });

  test.each([
    ["Q, K and V", [[2, 3, 4, 3, 4]]],
    [
      "K and V",
      [
        [2, 3, 16],
        [2, 5, 4, 2, 4],
      ],
    ],
  ] as const)("%s interleaved, against a definition: no CPU kernel takes them", async (_, inputs) => {
    const { graph, feeds } = singleNode({
      op: "MultiHeadAttention",
      inputs,
      attributes: { num_heads: int(4) },
    });
    graph.opsets.set("", 21);
    const [expected, found] = [unfused(graph), decomposed(graph, attentionDecompositions)];
    expected.rename(expected.outputs[0]!, "output_0");
    expect(largestDifference(await runOnce(expected, feeds), await runOnce(found, feeds))).toBeLessThan(
      limit,
    );
  });
});

describe("ai.onnx Attention", () => {
  const heads = [
    [2, 4, 3, 8],
    [2, 2, 3, 8],
    [2, 2, 3, 8],
  ] as const;
  const joined = [
    [2, 3, 8],
    [2, 3, 8],
    [2, 3, 8],
  ] as const;
  const caches = [
    [2, 2, 2, 4],
    [2, 2, 2, 4],
  ] as const;
  const two = { q_num_heads: int(2), kv_num_heads: int(2) };
  const causal = { is_causal: int(1) };
  const triangle = bool([3, 3], [1, 0, 0, 1, 1, 0, 1, 1, 1]);
  const forms: readonly (readonly [string, SingleNode["inputs"], Attributes])[] = [
    ["causal and a mask", [...heads, [3, 3]], causal],
    ["a cap before a mask of bool", [...heads, triangle], { softcap: float(0.5), scale: float(0.7) }],
    ["a cap before a mask", [...heads, [2, 1, 3, 3]], { softcap: float(0.5) }],
    ["causal behind caches", [...joined, undefined, ...caches], { ...two, ...causal }],
    [
      "causal over more keys, V of another width",
      [
        [2, 2, 3, 8],
        [2, 2, 5, 8],
        [2, 2, 5, 6],
      ],
      causal,
    ],
    ["rows that see nothing, bool", [...heads, bool([3, 3], [0, 1, 1, 1, 1, 0, 1, 1, 1])], causal],
    ["rows that see nothing, −∞", [...heads, hidden(-Infinity)], {}],
    ["rows that see nothing, the lowest number", [...heads, hidden(-3.4028234663852886e38)], {}],
    ["rows that see nothing, −10⁹", [...heads, hidden(-1e9)], causal],
  ];
  test.each(forms)("%s", async (_, inputs, attributes) => {
    const outputs = inputs.length > 4 ? 3 : 1;
    const single = { op: "Attention", domain: "", opset: 23, inputs, attributes, outputs };
    expect(await compareSingle(single)).toBeLessThan(limit);
  });

  test.each([0, 1, 2, 3])("the scores of stage %d", async (mode) => {
    const attributes = { softcap: float(0.5), qk_matmul_output_mode: int(mode) };
    const inputs = [...heads, [3, 3]];
    const single = { op: "Attention", domain: "", opset: 23, inputs, attributes, outputs: 4 };
    expect(await compareSingle(single)).toBeLessThan(limit);
  });
});

describe("RotaryEmbedding", () => {
  const at = int64([2, 3], [5, 6, 7, 1, 2, 3]);
  const two = { num_heads: int(2) };
  const neighbours = { interleaved: int(1) };
  const part = { rotary_embedding_dim: int(4) };
  const forms: readonly (readonly [string, string, SingleNode["inputs"], Attributes])[] = [
    ["positions", "", [[2, 3, 8], ...tables(2), at], two],
    [
      "no positions",
      "",
      [
        [2, 2, 3, 4],
        [2, 3, 2],
        [2, 3, 2],
      ],
      neighbours,
    ],
    ["some dims", "", [[2, 2, 3, 8], ...tables(2), at], { ...neighbours, ...part }],
    ["a first position", "com.microsoft", [[2, 3, 8], int64([1], [4]), ...tables(2)], neighbours],
    ["heads apart", "com.microsoft", [[2, 2, 3, 8], at, ...tables(4)], {}],
    ["some dims", "com.microsoft", [[2, 3, 16], at, ...tables(2)], { ...two, ...part }],
  ];
  test.each(forms)("%s (%s)", async (_, domain, inputs, attributes) => {
    const single = { op: "RotaryEmbedding", domain, opset: 23, inputs, attributes };
    expect(await compareSingle(single)).toBeLessThan(limit);
  });
});

describe("forms that are refused, with the node, its domain and the reason", () => {
  test.each([
    [
      {
        op: "Attention",
        inputs: [[2, 3, 8], [8, 24], [24]],
        attributes: { ...headCount(2), do_rotary: int(1) },
      },
      /Attention "node" \(domain "com.microsoft"\).*do_rotary/,
    ],
    [
      {
        op: "MultiHeadAttention",
        inputs: [
          [2, 8],
          [2, 8],
          [2, 8],
        ],
        attributes: headCount(2),
      },
      /MultiHeadAttention "node" .*layout/,
    ],
    [
      {
        op: "Attention",
        domain: "",
        opset: 24,
        inputs: [
          [2, 2, 3, 4],
          [2, 2, 3, 4],
          [2, 2, 3, 4],
          undefined,
          undefined,
          undefined,
          int64([2], [1, 2]),
        ],
      },
      /Attention "node" \(domain "ai.onnx"\).*nonpad_kv_seqlen/,
    ],
  ] as const)("%o", (single, message) => {
    expect(refusal(single)).toMatch(message);
    expect(refusal(single)).not.toContain("\n");
  });
});
