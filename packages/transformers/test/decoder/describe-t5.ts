import { describe, expect, test } from "vitest";
import { openHeadGates } from "../../src/open-head-gates.ts";
import { smallT5 } from "./small-t5.ts";
import { writings } from "./stories.ts";

/** Heads of the encoder's two layers, then one of each of the decoder's: own, of the encoder's states, own, of the encoder's states. */
const off = [
  [0, 1],
  [0, 2],
  [1, 3],
  [2, 0],
  [3, 1],
  [4, 3],
  [5, 2],
] as const;
// A random model writes one token over and over; to forbid pairs that were there makes it depend on all its scores.
const writing = { prompt: "a b c d e f", count: 30, settings: { no_repeat_ngram_size: 2 } };

/** The laws of pruned encoder–decoders, in one version of transformers.js. */
export function describeT5(transformers: { readonly env: { readonly version: string } }): void {
  const { version } = transformers.env;
  const newest = version.startsWith("4.");

  describe(`transformers.js ${version}, an encoder and a merged decoder`, () => {
    test("heads of both files are found, and removed they write as turned off", async () => {
      const gates = await openHeadGates(smallT5(), { transformers });
      const { parts } = gates.internals;
      expect(parts.map(({ file, live }) => [file, live?.inputs.size])).toEqual([
        ["encoder_model", 2],
        ["decoder_model_merged", 4],
      ]);
      const { small, dense, masked, pruned, after, opened } = await writings(gates, off, writing);
      expect(masked.length).toBe(31);
      expect(pruned).toEqual(masked);
      expect(opened).toEqual(masked);
      expect(masked).not.toEqual(dense);
      expect(after).toEqual(dense);
      expect(small.caches).toEqual({ decoder: [3, 3], encoder: [3, 3], headDim: 6 });
      expect(small.versions).toEqual([2, 3, 4]);
      expect(small.config).toMatchObject({ num_heads: 3, d_kv: 6, d_model: 16 });
      await gates.dispose();
    });

    test.runIf(newest)("layers may keep unequally many heads", async () => {
      const gates = await openHeadGates(smallT5(), { transformers });
      const { small, masked, pruned, opened } = await writings(
        gates,
        [...off, [2, 2], [5, 0], [5, 1]],
        writing,
      );
      expect(pruned).toEqual(masked);
      expect(opened).toEqual(masked);
      expect(small.caches).toEqual({ decoder: [2, 3], encoder: [3, 1], headDim: 6 });
      expect(small.versions).toEqual([4]);
      await gates.dispose();
    });
  });
}
