import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { experiments } from "../src/registry.ts";
import { runExperiment } from "../src/runner/run-experiment.ts";
import { missingData } from "../src/training/required-data.ts";

// Every experiment in its quick form, in the processes that the whole one runs in: what is claimed shows there, too.
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-experiments-"));
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

describe.each(experiments)("$name", (experiment) => {
  const missing = missingData(experiment.data?.(true) ?? []);
  if (missing !== undefined) console.warn(`skipped: ${experiment.name} needs ${missing}; set DGATE_DATA`);
  test.skipIf(missing !== undefined)(
    "holds in quick mode",
    async () => {
      const runs = await runExperiment(experiment, {
        quick: true,
        seeds: [1, 2, 3],
        backend: "cpu",
        file: join(folder, `${experiment.name}.jsonl`),
      });
      const { verdicts, charts, tables } = experiment.conclude(runs);
      expect(verdicts.length).toBeGreaterThan(0);
      expect(charts.length + tables.length + verdicts.length).toBeGreaterThan(0);
      expect(verdicts.filter(({ holds }) => !holds)).toEqual([]);
    },
    120_000,
  );
});
