import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import {
  type Feed,
  type Graph,
  numbersOf,
  openRunner,
  readModel,
  type Runner,
  sliceTensor,
} from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { type HandLayer, withoutHead, withZeroRows } from "../../test/remove-head.ts";
import { liveGraph } from "../gates/live-graph.ts";
import { findBlocks } from "./find-blocks.ts";

/** The real models, with their attention layers as they stand in the files. */
interface RealModel {
  readonly file: string;
  readonly layers: readonly HandLayer[];
  readonly output: string;
  /** Feeds of one small batch; `heads` of the caches of a layer. */
  readonly feeds: (cacheHeads: (layer: number) => number) => Record<string, Feed>;
}

const ids = (shape: readonly number[], data: readonly number[]): Feed => ({
  dtype: "int64",
  shape,
  data: BigInt64Array.from(data, BigInt),
});
const range = (length: number, at: (i: number) => number): number[] =>
  Array.from({ length }, (_, i) => at(i));

const bertMini: RealModel = {
  file: "models/bert-mini-sst2/onnx/model.onnx",
  output: "logits",
  layers: range(4, (l) => l).map((l) => ({
    scope: `/bert/encoder/layer.${l}/attention/`,
    heads: 8,
    projections: ["query", "key", "value"].map((part) => {
      return { weight: `self/${part}/MatMul`, bias: `self/${part}/Add`, size: 32 };
    }),
    output: { weight: "output/dense/MatMul", size: 32 },
    sizes: {
      "self/Concat": [2, 7],
      "self/Concat_1": [2, 7],
      "self/Concat_2": [2, 7],
      "self/Concat_3": [2, 224],
    },
  })),
  feeds: () => ({
    input_ids: ids([2, 6], [101, 2023, 3185, 2003, 2307, 102, 101, 6659, 102, 0, 0, 0]),
    attention_mask: ids([2, 6], [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
    token_type_ids: ids(
      [2, 6],
      range(12, () => 0),
    ),
  }),
};

const stories: RealModel = {
  file: "models/tinyllamas/stories260K/onnx/model.onnx",
  output: "logits",
  layers: range(5, (l) => l).map((l) => ({
    scope: `/model/layers.${l}/self_attn/`,
    heads: 4,
    projections: [
      { weight: "q_proj/MatMul", size: 16 },
      { weight: "k_proj/MatMul", size: 8 },
      { weight: "v_proj/MatMul", size: 8 },
    ],
    output: { weight: "o_proj/MatMul", size: 16 },
    sizes: {
      "q/Concat": [2, 6],
      "k/Concat": [2, 3],
      "v/Concat": [2, 3],
      "repeat_k/Concat": [1, 3],
      "repeat_k/Concat_1": [1, 6],
      "repeat_v/Concat": [1, 3],
      "repeat_v/Concat_1": [1, 6],
      Concat_o: [2, 48],
    },
    caches: [
      `past_key_values.${l}.key`,
      `past_key_values.${l}.value`,
      `present.${l}.key`,
      `present.${l}.value`,
    ],
  })),
  feeds: (cacheHeads) => ({
    input_ids: ids([1, 5], [1, 403, 407, 261, 378]),
    attention_mask: ids([1, 5], [1, 1, 1, 1, 1]),
    position_ids: ids([1, 5], [0, 1, 2, 3, 4]),
    ...Object.fromEntries(
      range(5, (l) => l).flatMap((l) =>
        ["key", "value"].map((part) => {
          const feed: Feed = { dtype: "float32", shape: [1, cacheHeads(l), 0, 8], data: new Float32Array(0) };
          return [`past_key_values.${l}.${part}`, feed] as const;
        }),
      ),
    ),
  }),
};

const vit: RealModel = {
  file: "models/vit-cifar10-pgd-2-3-16/model.onnx",
  output: "output",
  layers: [0, 1].map((l) => ({
    scope: `/1/1.${l}/1.${l}.0/fn/fn.1/`,
    heads: 3,
    projections: ["query", "key", "value"].map((part) => ({
      weight: `${part}/MatMul`,
      bias: `${part}/Add`,
      size: 16,
    })),
    output: { weight: "out/MatMul", size: 16 },
    sizes: { Concat: [2, 2], Concat_1: [2, 2], Concat_2: [2, 2], Concat_3: [2, 32] },
  })),
  feeds: () => ({}),
};

const folder = dataFolder() ?? "";

const difference = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((top, value, i) => Math.max(top, Math.abs(value - b[i]!)), a.length === b.length ? 0 : Infinity);

describe.each([bertMini, stories, vit])("$file", (model) => {
  const path = join(folder, model.file);
  const present = existsSync(path);

  test.skipIf(!present).each(range(model.layers.length, (l) => l))(
    "layer %i: a head off by its gate, its output rows zeroed and the head removed give the same",
    async (l) => {
      const graph = withSmallTable(readModel(readFileSync(path)));
      const block = findBlocks(graph, "model").blocks.filter(({ group }) => group === "heads")[l]!;
      const live = liveGraph(graph, [block]);
      const layer = model.layers[l]!;
      const [zero, cut] = [withZeroRows(graph, layer), withoutHead(graph, layer)];
      const [gated, zeroed, removed] = [
        await openRunner(live.graph),
        await openRunner(zero.graph),
        await openRunner(cut.graph),
      ];
      const outputOf = async (runner: Runner, feeds: Record<string, Feed>): Promise<number[]> =>
        Array.from(numbersOf((await runner.run(feeds))[model.output]!), Number);
      const feeds = model === vit ? imageFeeds(graph) : model.feeds(() => layer.heads);
      const fewer =
        model === vit ? feeds : model.feeds((each) => (each === l ? layer.heads - 1 : layer.heads));
      const whole = await outputOf(gated, feeds);
      for (let head = 0; head < layer.heads; head++) {
        const gate = { data: range(layer.heads, (h) => (h === head ? 0 : 1)), shape: [layer.heads] };
        const off = await outputOf(gated, { ...feeds, [live.inputs.get(block.name)!]: gate });
        const byRows = await outputOf(zeroed, { ...feeds, ...zero.weights(head) });
        const byHand = await outputOf(removed, { ...fewer, ...cut.weights(head) });
        expect(difference(off, byRows), `head ${head}: zeroed`).toBeLessThan(1e-4);
        expect(difference(off, byHand), `head ${head}: removed`).toBeLessThan(1e-4);
        expect(difference(off, whole), `head ${head}: matters`).toBeGreaterThan(1e-3);
      }
      for (const runner of [gated, zeroed, removed]) await runner.dispose();
    },
  );
});

/** Without the rows of the word table that no feed here asks for: most of a small model's bytes. */
function withSmallTable(graph: Graph): Graph {
  const rows = 7000;
  for (const value of graph.initializers) {
    const { data } = value;
    if (data!.shape.length === 2 && data!.shape[0]! > rows)
      graph.setData(value, sliceTensor(data!, 0, 0, rows));
  }
  return graph;
}

/** Two images of smooth waves. */
function imageFeeds(graph: Graph): Record<string, Feed> {
  const [input] = graph.requiredInputs;
  const shape = input!.type!.shape!.map((dim) => (typeof dim === "number" ? dim : 2));
  const count = shape.reduce((a, b) => a * b, 1);
  return {
    [input!.name]: {
      dtype: "float32",
      shape,
      data: Float32Array.from({ length: count }, (_, i) => Math.sin(i / 7) + Math.cos(i / 31)),
    },
  };
}
