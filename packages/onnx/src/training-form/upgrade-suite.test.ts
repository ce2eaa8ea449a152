import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { DgateError } from "@dgate/core";
import { expect, test } from "vitest";
import { backendTestFolder, onnxFiles } from "../../test/files.ts";
import { outputDifference, type Outputs, outputsOf } from "../../test/same-outputs.ts";
import { storedFeeds } from "../../test/stored-feeds.ts";
import type { Tensor } from "../graph/tensor.ts";
import { readModel } from "../io/read.ts";
import { upgradeOpset, upgradeTo } from "./upgrade-opset.ts";

const files = onnxFiles(
  backendTestFolder,
  "install it (apt-get install libonnx-testdata) or set DGATE_ONNX_TESTDATA to onnx/backend/test/data.",
);

/** Outputs of these are drawn at random. */
const isRandom = (file: string): boolean => /bernoulli|random|training_dropout|multinomial/.test(file);

/** What onnxruntime gives; it does not know every operator, type and input kind of the suite. */
async function expectedOutputs(
  bytes: Uint8Array,
  feeds: Record<string, Tensor>,
): Promise<Outputs | undefined> {
  try {
    return await outputsOf(bytes, feeds);
  } catch (error) {
    if (error instanceof DgateError) return undefined;
    throw error;
  }
}

test.skipIf(files.length === 0)(
  "models of the ONNX backend suite compute the same in the forms of opset 18 and 20",
  async () => {
    const different: string[] = [];
    const refused: string[] = [];
    let [compared, changed] = [0, 0];
    for (const file of files.filter((each) => !isRandom(each))) {
      const before = readFileSync(file);
      const graph = readModel(before, { name: file });
      const opset = graph.opsets.get("") ?? 18;
      const feeds = opset < 7 || opset > 17 ? undefined : storedFeeds(file, graph);
      const expected = feeds && (await expectedOutputs(before, feeds));
      if (!feeds || !expected) continue;
      for (const target of [18, 20]) {
        const copy = graph.clone();
        try {
          const edits = target === 18 ? upgradeOpset(copy) : upgradeTo(copy, target);
          if (target === 18) [compared, changed] = [compared + 1, changed + (edits > 0 ? 1 : 0)];
        } catch (error) {
          const code = error instanceof DgateError ? error.code : String(error);
          refused.push(`${code} ${relative(backendTestFolder, file)}`);
          break;
        }
        try {
          const difference = outputDifference(await outputsOf(copy, feeds), expected);
          // AveragePool of opset 19 adds in another order.
          expect(difference).toBeLessThanOrEqual(target === 18 ? 0 : 1e-6);
        } catch (error) {
          different.push(`${target} ${relative(backendTestFolder, file)} ${String(error).slice(0, 600)}`);
        }
      }
    }
    expect(different).toEqual([]);
    expect(refused).toEqual(["UNSUPPORTED node/test_scan_sum/model.onnx"]);
    expect(compared).toBeGreaterThan(500);
    console.info(
      `${compared} models of opset 7 to 17 compute the same in opset 18 and 20; ${changed} were changed`,
    );
  },
  600_000,
);
