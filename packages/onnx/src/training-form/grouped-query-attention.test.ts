import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import {
  decomposed,
  decomposedDifference,
  largestDifference,
  runOnce,
  type SingleNode,
  singleNode,
} from "../../test/decomposed-difference.ts";
import { FusedBuilder } from "../../test/models/fused-builder.ts";
import { unfused } from "../../test/models/unfused.ts";
import { type Attribute, float, int } from "../graph/attribute.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { randomInputs } from "../verify/random-inputs.ts";
import { attentionDecompositions } from "./attention-decompositions.ts";

type Attributes = Readonly<Record<string, Attribute>>;

const limit = 1e-5;
const compareSingle = (single: SingleNode): Promise<number> => {
  const { graph, feeds } = singleNode(single);
  return decomposedDifference(graph, attentionDecompositions, feeds);
};

/** Cosines and sines. */
const tables = (half: number): readonly (readonly number[])[] => [
  [12, half],
  [12, half],
];
const bias = (shape: readonly number[]): SingleNode["inputs"] => [undefined, undefined, undefined, shape];

/** Grouped attention of 4 query heads and 2 key–value heads. */
interface Grouped {
  readonly batch: number;
  readonly queries: number;
  /** Length of the buffers; absent where there are none. */
  readonly buffer?: number;
  /** Number of keys of each sample, minus one. */
  readonly last: readonly number[];
  readonly total: number;
  readonly dim?: number;
  readonly attributes?: Attributes;
  /** Inputs from the cosines on. */
  readonly more?: SingleNode["inputs"];
}

function grouped({
  batch,
  queries,
  buffer,
  last,
  total,
  dim = 8,
  attributes,
  more = [],
}: Grouped): SingleNode {
  const cache = buffer === undefined ? undefined : [batch, 2, buffer, dim];
  return {
    op: "GroupQueryAttention",
    inputs: [
      [batch, queries, 4 * dim],
      [batch, queries, 2 * dim],
      [batch, queries, 2 * dim],
      cache,
      cache,
      tensorOf("int32", [batch], last),
      tensorOf("int32", [1], [total]),
      ...more,
    ],
    outputs: 3,
    attributes: { num_heads: int(4), kv_num_heads: int(2), ...attributes },
  };
}

const tokenForm = { batch: 1, queries: 1, last: [0], total: 1 };

describe("com.microsoft.GroupQueryAttention", () => {
  const prompt = { batch: 2, queries: 3, last: [2, 2], total: 3 };
  const five = { batch: 1, queries: 5, last: [4], total: 5 };
  const uneven = { batch: 2, queries: 1, buffer: 6, last: [4, 2], total: 5 };
  const append = { batch: 1, queries: 3, buffer: 5, last: [5], total: 6 };
  const turning = { do_rotary: int(1) };
  const forms: readonly (readonly [string, Grouped])[] = [
    ["a prompt with empty caches", { ...prompt, buffer: 0 }],
    ["a prompt with buffers of old numbers", { ...prompt, buffer: 5 }],
    ["a token behind caches of two lengths", { ...uneven, buffer: 4 }],
    ["a token in buffers that are long enough", uneven],
    ["tokens appended", { ...append, buffer: 3 }],
    ["tokens appended in a buffer", { ...append, buffer: 8 }],
    ["a window", { ...five, attributes: { local_window_size: int(2) } }],
    ["a window in buffers", { ...uneven, attributes: { local_window_size: int(2), scale: float(0.3) } }],
    ["a cap", { ...five, attributes: { softcap: float(0.5) } }],
    ["a cap and a bias", { ...five, attributes: { softcap: float(0.5) }, more: bias([1, 4, 5, 5]) }],
    ["a bias for each sample", { ...prompt, more: bias([2, 1, 3, 3]) }],
    ["a smooth softmax", { ...prompt, attributes: { smooth_softmax: int(1) } }],
    [
      "rotary, neighbours",
      {
        ...uneven,
        dim: 32,
        attributes: { ...turning, rotary_interleaved: int(1) },
        more: tables(16),
      },
    ],
    ["rotary, some dims", { ...uneven, dim: 32, attributes: turning, more: tables(8) }],
    [
      "rotary at given positions",
      {
        ...prompt,
        dim: 32,
        attributes: turning,
        more: [...tables(16), tensorOf("int64", [2, 3], [5, 6, 7, 5, 6, 7])],
      },
    ],
    ["in no order", { ...prompt, attributes: { causal: int(0) } }],
    ["in no order, appended", { ...append, attributes: { causal: int(0) } }],
    ["in no order, caches of two lengths", { ...uneven, attributes: { causal: int(0) } }],
  ];
  test.each(forms)("%s", async (_, form) => {
    expect(await compareSingle(grouped(form))).toBeLessThan(limit);
  });

  test("a prompt with padding: every row that is no padding", async () => {
    const { graph, feeds } = singleNode(grouped({ ...prompt, buffer: 0, last: [2, 1] }));
    const [expected, found] = [
      await runOnce(graph, feeds),
      await runOnce(decomposed(graph, attentionDecompositions), feeds),
    ];
    const rows = 5 * 4 * 8; // the last of the six is padding
    const [a, b] = [expected, found].map(({ output_0 }) => Array.from(numbersOf(output_0!)).slice(0, rows));
    a!.forEach((x, i) => expect(b![i]).toBeCloseTo(x, 5));
  });

  test("norms of queries and keys, against a definition: no CPU kernel has them", async () => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", "time", 6]);
    const parts = [16, 8, 8].map((columns, i) => net.matmul("qkv"[i]!, x, [6, columns]));
    const lengths = [net.int32("last", [1], [2]), net.int32("total", [1], [3])];
    const norms = ["q", "k"].map((part) => net.weight(`${part}_norm`, [4], 0.3, 1));
    const open = Array.from({ length: 7 }, () => undefined);
    const [y] = net.fused(
      "GroupQueryAttention",
      [...parts, undefined, undefined, ...lengths, ...open, ...norms],
      {
        attributes: { num_heads: int(4), kv_num_heads: int(2), causal: int(0) },
      },
    );
    const graph = net.output(net.project("output", y!, [16, 6]));
    const feeds = randomInputs(graph, randomGenerator(2), { batch: 1, time: 3 });
    const found = await runOnce(decomposed(graph, attentionDecompositions), feeds);
    expect(largestDifference(await runOnce(unfused(graph), feeds), found)).toBeLessThan(limit);
  });
});

test.each([
  ["its cache slides", { ...tokenForm, attributes: { sliding_window_cache: int(1) } }, 3],
  ["it gives its scores", { ...tokenForm, attributes: { qk_output: int(1) } }, 4],
] as const)("refused, with the node named: %s", (reason, form, outputs) => {
  const { graph } = singleNode({ ...grouped(form), outputs });
  expect(() => decomposed(graph, attentionDecompositions)).toThrow(
    new RegExp(`com.microsoft.GroupQueryAttention "node" \\(domain "com.microsoft"\\).*${reason}`),
  );
});
