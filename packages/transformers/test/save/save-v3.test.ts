import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { expect, test } from "vitest";
import { pruneBert } from "./prune-bert.ts";

const data = dataFolder();

test.skipIf(!data)(
  "save opens the folder with version 3 where that is the user's",
  async () => {
    const parent = await mkdtemp(join(tmpdir(), "dgate-save-"));
    try {
      const pruned = await pruneBert(data!, await import("transformers-v3"));
      const { checks } = await pruned.save(join(parent, "small"), {
        dtypes: ["fp32", "q4"],
        versions: [3, 4],
      });
      expect(checks.map(({ dtype, opened }) => [dtype, opened])).toEqual([
        ["fp32", true],
        ["q4", true],
      ]);
      expect(checks[0]!.maxRelDiff).toBeLessThan(1e-4);
    } finally {
      await rm(parent, { recursive: true, force: true });
    }
  },
  120_000,
);
