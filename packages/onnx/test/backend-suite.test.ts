import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { DgateError } from "@dgate/core";
import { describe, expect, test } from "vitest";
import type { Tensor } from "../src/graph/tensor.ts";
import { readModel } from "../src/io/read.ts";
import { readModelFile } from "../src/io/read-file.ts";
import { writeModel } from "../src/io/write.ts";
import { openRunner } from "../src/runtime/open-runner.ts";
import type { RunTensor } from "../src/runtime/run-tensor.ts";
import { canonicalModel } from "./canonical.ts";
import { backendTestFolder, onnxFiles } from "./files.ts";
import { storedFeeds } from "./stored-feeds.ts";

const files = onnxFiles(
  backendTestFolder,
  "install it (apt-get install libonnx-testdata) or set DGATE_ONNX_TESTDATA to onnx/backend/test/data.",
);

async function outputs(bytes: Uint8Array, feeds: Record<string, Tensor>): Promise<Record<string, RunTensor>> {
  const runner = await openRunner(bytes, { session: { logSeverityLevel: 4 } });
  try {
    return await runner.run(feeds);
  } finally {
    await runner.dispose();
  }
}

/** What onnxruntime gives or says; it does not know every operator, type and input kind of the suite. */
async function outcome(bytes: Uint8Array, feeds: Record<string, Tensor>): Promise<unknown> {
  try {
    return await outputs(bytes, feeds);
  } catch (error) {
    if (error instanceof DgateError) return `cannot run: ${error.code}`;
    throw error;
  }
}

/** Outputs of these are drawn at random. */
const isRandom = (file: string): boolean => /bernoulli|random|dropout|multinomial/.test(file);

describe.skipIf(files.length === 0)("the models of the ONNX backend test suite", () => {
  test("all read, and say the same after the round trip", async () => {
    const failures: string[] = [];
    for (const file of files) {
      const before = readFileSync(file);
      try {
        const after = writeModel(await readModelFile(file));
        expect(canonicalModel(after)).toEqual(canonicalModel(before));
        expect(Buffer.compare(writeModel(readModel(after)), after)).toBe(0);
      } catch (error) {
        failures.push(`${relative(backendTestFolder, file)}: ${String(error).slice(0, 300)}`);
      }
    }
    expect(failures).toEqual([]);
  }, 300_000);

  test("those that onnxruntime runs compute the same after the round trip", async () => {
    const different: string[] = [];
    let ran = 0;
    for (const file of files) {
      if (isRandom(file)) continue;
      const before = readFileSync(file);
      const graph = readModel(before, { name: file });
      const feeds = storedFeeds(file, graph);
      if (!feeds) continue;
      const expected = await outcome(before, feeds);
      const got = await outcome(writeModel(graph), feeds);
      if (typeof expected !== "string") ran += 1;
      try {
        expect(got).toEqual(expected);
      } catch {
        different.push(relative(backendTestFolder, file));
      }
    }
    expect(different).toEqual([]);
    expect(ran).toBeGreaterThan(files.length / 2);
    console.info(
      `onnxruntime ran ${ran} of ${files.length} models of the backend suite, before and after alike`,
    );
  }, 600_000);
});
