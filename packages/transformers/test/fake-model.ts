import { Graph, type ValueType } from "@dgate/onnx";
import type { Encoding, LibraryPipeline, LibraryTensor, LibraryTokenizer } from "../src/library/library.ts";
import type { OpenedModel } from "../src/source/open-model.ts";
import { kinds } from "./small-examples.ts";

const tensor = (values: readonly number[]): LibraryTensor => ({
  type: "int64",
  dims: [1, values.length],
  data: BigInt64Array.from(values, BigInt),
});

const words = (part: string): number[] =>
  part
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => 10 + word.length);

/**
 * Stands in for a tokenizer where the test is about what happens around it: 1 for [CLS], 2 for [SEP], 10 plus its length for a word; pairs
 * are segments 0 and 1. Cuts as the library's do, the end marker kept.
 */
export const wordTokenizer = (limits: { readonly model_max_length?: number } = {}): LibraryTokenizer =>
  Object.assign(
    (
      [text]: readonly string[],
      { text_pair: pair, truncation, max_length: longest }: Parameters<LibraryTokenizer>[1] & {} = {},
    ): Encoding => {
      const first = [1, ...words(text!), 2];
      const second = pair ? [...words(pair[0]!), 2] : [];
      let ids = [...first, ...second];
      if (truncation && longest !== undefined && ids.length > longest)
        ids = [...ids.slice(0, longest - 1), 2];
      return {
        input_ids: tensor(ids),
        attention_mask: tensor(ids.map(() => 1)),
        token_type_ids: tensor(ids.map((_, at) => (at < first.length ? 0 : 1))),
      };
    },
    limits,
  );

/** An opened classifier with this tokenizer or processor and config, as far as encoding looks at it. */
export function fakeModel(
  parts: Partial<Pick<LibraryPipeline, "tokenizer" | "processor">>,
  config: Readonly<Record<string, unknown>> = {},
): OpenedModel {
  const pipeline = Object.assign(() => Promise.reject(new Error("not called")), {
    task: "text-classification",
    model: { config: {} },
    ...parts,
  });
  const files = {
    name: "fake",
    subfolder: "",
    read: async () => undefined,
    has: async () => false,
    places: () => [],
    list: async () => [],
  };
  return { files, config, kind: kinds.classes, dtype: "fp32", pipeline, parts: [], loadMs: 0 };
}

/** A graph with these inputs and nothing else. */
export function graphWithInputs(inputs: Readonly<Record<string, ValueType>>): Graph {
  const graph = new Graph("inputs");
  for (const [name, type] of Object.entries(inputs)) graph.addInput(name, type);
  return graph;
}
