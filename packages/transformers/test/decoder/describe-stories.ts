import { describe, expect, test } from "vitest";
import { openHeadGates } from "../../src/open-head-gates.ts";
import { mergedStories, stories, writings } from "./stories.ts";

/** One head of each layer, and more of some. */
const even = [0, 1, 2, 3, 4].map((layer) => [layer, (layer * 3 + 1) % 4] as const);
const uneven = [...even, [1, 0], [1, 1], [3, 0]] as const;

/** The laws of pruned decoders, in one version of transformers.js. */
export function describeStories(transformers: { readonly env: { readonly version: string } }): void {
  const { version } = transformers.env;
  const newest = version.startsWith("4.");
  const files = [
    ["the decoder", () => stories!],
    ["the merged decoder", mergedStories],
  ] as const;

  describe.skipIf(!stories).each(files)(`transformers.js ${version}, %s`, (_, folder) => {
    test("with equally many heads in all layers, removed heads and heads turned off write the same 64 tokens", async () => {
      const gates = await openHeadGates(folder(), { transformers });
      expect([gates.heads.layers, gates.heads.count]).toEqual([5, 20]);
      const { small, dense, masked, pruned, after, opened } = await writings(gates, even);
      expect(masked.length).toBeGreaterThan(64);
      expect(pruned).toEqual(masked);
      expect(opened).toEqual(masked);
      expect(masked).not.toEqual(dense);
      expect(after).toEqual(dense);
      expect(small.caches).toEqual({ decoder: [3, 3, 3, 3, 3], encoder: [], headDim: 8 });
      expect(small.versions).toEqual([2, 3, 4]);
      expect(small.config).toMatchObject({ num_key_value_heads: 3, num_attention_heads: 8, head_dim: 8 });
      await gates.dispose();
    });

    test.runIf(newest)("layers may keep unequally many heads", async () => {
      const gates = await openHeadGates(folder(), { transformers });
      const { small, dense, masked, pruned, after, opened } = await writings(gates, uneven);
      expect(pruned).toEqual(masked);
      expect(opened).toEqual(masked);
      expect(masked).not.toEqual(dense);
      expect(after).toEqual(dense);
      expect(small.caches?.decoder).toEqual([3, 2, 3, 2, 3]);
      expect(small.versions).toEqual([4]);
      await gates.dispose();
    });

    test.skipIf(newest)("unequally many heads are refused, with the way out", async () => {
      const gates = await openHeadGates(folder(), { transformers });
      for (const [layer, head] of uneven) gates.set(layer, head, 0);
      const small = await gates.prune();
      await expect(small.attach()).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringMatching(
          /3, 2, 3, 2, 3 key–value heads.*\{ even: true \} of learn, or of prune with keep/,
        ),
      });
      await gates.dispose();
    });
  });
}
