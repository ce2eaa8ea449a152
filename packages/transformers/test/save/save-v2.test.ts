import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { expect, test } from "vitest";
import { pruneBert } from "./prune-bert.ts";

const data = dataFolder();

test.skipIf(!data)(
  "save opens the folder with version 2 where that is the user's, as far as it loads the types",
  async () => {
    const parent = await mkdtemp(join(tmpdir(), "dgate-save-"));
    try {
      const pruned = await pruneBert(data!, await import("@xenova/transformers"));
      const { checks } = await pruned.save(join(parent, "small"), { dtypes: ["fp32", "q8", "q4"] });
      expect(checks.map(({ dtype, opened }) => [dtype, opened])).toEqual([
        ["fp32", true],
        ["q8", true],
        ["q4", false],
      ]);
      expect(checks[0]!.maxRelDiff).toBeLessThan(1e-4);
      expect(checks[2]!.maxRelDiff).toBeLessThan(0.2);
      const later = await pruned.save(join(parent, "later"), {
        dtypes: ["fp32"],
        versions: [3, 4],
        fuse: false,
      });
      expect(later.checks).toEqual([]);
      expect(later.notes.join()).toContain("not opened");
      expect(await readFile(join(parent, "later/README.md"), "utf8")).not.toContain("@xenova");
    } finally {
      await rm(parent, { recursive: true, force: true });
    }
  },
  120_000,
);
