import { describe, expect, test } from "vitest";
import { gpt2 } from "../../test/models/gpt2.ts";
import { llama } from "../../test/models/llama.ts";
import { opt } from "../../test/models/small-decoders.ts";
import { t5Decoder } from "../../test/models/t5.ts";
import { feedsOf, type TransformerModel } from "../../test/models/transformer-model.ts";
import { whisperDecoder } from "../../test/models/whisper.ts";
import { readModel } from "../io/read.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { findAttention } from "../sites/attention.ts";
import { findSites } from "../sites/find-sites.ts";
import { selectBranch } from "./select-branch.ts";

const decoders: readonly (readonly [string, (useCache: boolean) => TransformerModel])[] = [
  ["Llama", (useCache) => llama({ cache: "merged", useCache })],
  ["GPT-2", (useCache) => gpt2({ cache: "merged", useCache })],
  ["OPT", (useCache) => opt({ cache: "merged", useCache })],
  ["T5", (useCache) => t5Decoder({ cache: "merged", useCache })],
  ["T5 with identities", (useCache) => t5Decoder({ cache: "merged", useCache, encoderPresent: "identity" })],
  ["Whisper", (useCache) => whisperDecoder({ cache: "merged", useCache })],
];

async function outputsOf(graph: TransformerModel["graph"], feeds: ReturnType<typeof feedsOf>) {
  const runner = await openRunner(writeModel(graph));
  const own = Object.entries(feeds).filter(([name]) => graph.inputs.some((input) => input.name === name));
  const outputs = await runner.run(Object.fromEntries(own));
  await runner.dispose();
  return Object.entries(outputs).map(([name, value]) => [name, value.shape, [...numbersOf(value)]] as const);
}

describe.each(decoders)("%s", (_, build) => {
  test.each([false, true])(
    "the branch that use_cache_branch=%s takes gives the outputs of the merged file",
    async (taken) => {
      const model = build(taken);
      const before = String(model.graph);
      const branch = readModel(writeModel(selectBranch(model.graph, taken)));
      const feeds = feedsOf(model, 3);
      expect(await outputsOf(branch, feeds)).toEqual(await outputsOf(model.graph, feeds));
      expect(String(model.graph)).toBe(before);
    },
  );

  test("the first step has no pasts and no flag, and its sites have the names that they have in the merged file", () => {
    const { graph } = build(false);
    const first = selectBranch(graph, false);
    const names = first.inputs.map(({ name }) => name);
    expect(names.filter((name) => name === "use_cache_branch" || name.startsWith("past"))).toEqual([]);
    expect(first.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
    expect(findAttention(first).map(({ name }) => name)).toEqual(
      findAttention(graph).map(({ name }) => name),
    );
    const named = (of: typeof graph) =>
      findSites(of)
        .filter(({ kind, prunable }) => prunable === true && (kind === "heads" || kind === "queries"))
        .map(({ name, groups }) => `${name} ${groups}`);
    expect(named(first)).toEqual(named(graph));
    expect(findSites(first).filter(({ tensor }) => !graph.value(tensor)?.data)).toEqual([]);
  });
});

test("a graph without such an If is refused, with its inputs", () => {
  expect(() => selectBranch(llama().graph, false)).toThrow(
    /no If .* "use_cache_branch"; its inputs are input_ids, attention_mask/,
  );
});
