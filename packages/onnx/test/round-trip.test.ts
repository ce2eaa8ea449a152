import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { describe, expect, test } from "vitest";
import type { Graph } from "../src/graph/graph.ts";
import { readModel } from "../src/io/read.ts";
import { writeModel } from "../src/io/write.ts";
import { openRunner } from "../src/runtime/open-runner.ts";
import type { RunTensor } from "../src/runtime/run-tensor.ts";
import { canonicalModel } from "./canonical.ts";
import { dataFolder, onnxFiles } from "./files.ts";
import { randomFeeds } from "./random-feeds.ts";

const files = onnxFiles(dataFolder, "set DGATE_DATA to the folder of the shared data.");

/** Sizes of named dimensions: pasts of length 1, all others 2, totals of both 3. */
const size = (name: string): number => (name.startsWith("past") ? 1 : name.startsWith("total") ? 3 : 2);

async function outputsOf(bytes: Uint8Array, graph: Graph): Promise<Record<string, RunTensor>> {
  const runner = await openRunner(bytes);
  try {
    return await runner.run(randomFeeds(graph, 7, size));
  } finally {
    await runner.dispose();
  }
}

describe.skipIf(files.length === 0)("a file that is read and written", () => {
  test.each(files.map((file) => [relative(dataFolder, file), file]))(
    "%s says and computes the same",
    async (_, file) => {
      const before = readFileSync(file);
      const graph = readModel(before, { name: file });
      const after = writeModel(graph);
      expect(canonicalModel(after)).toEqual(canonicalModel(before));
      expect(String(readModel(after))).toBe(String(graph));
      // Compared as one truth value: element-wise matchers take minutes over 44 MB.
      expect(Buffer.compare(writeModel(readModel(after)), after)).toBe(0);
      expect(await outputsOf(after, graph)).toEqual(await outputsOf(before, graph));
    },
  );
});
