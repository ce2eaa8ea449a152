import { describe, expect, test } from "vitest";
import type { Experiment, Result, Run } from "../src/experiment.ts";
import { experiments } from "../src/registry.ts";
import { checkFinite } from "../src/runner/finite.ts";
import { missingData } from "../src/training/required-data.ts";

/** Two where that takes little time. */
const seedsOf = ({ family }: Experiment): readonly number[] =>
  ["theory", "tabular", "cost"].includes(family) ? [1, 2] : [1];

// Every experiment in its quick form: what is claimed shows there, too. In this process, for each of its own would load all packages again; how runs are
// made in others is for the tests of the runner.
describe.each(experiments)("$name", (experiment) => {
  const missing = missingData(experiment.data?.(true) ?? []);
  if (missing !== undefined) console.warn(`skipped: ${experiment.name} needs ${missing}; set DGATE_DATA`);
  test.skipIf(missing !== undefined)(
    "holds in quick mode",
    async () => {
      const runs: Run[] = [];
      for (const setup of experiment.setups({ quick: true, seeds: seedsOf(experiment) })) {
        const result = await experiment.measure(setup, { backend: "cpu" });
        checkFinite(result, "result");
        // As it comes out of a file.
        runs.push({ setup, result: JSON.parse(JSON.stringify(result)) as Result });
      }
      const { verdicts } = experiment.conclude(runs);
      expect(verdicts.length).toBeGreaterThan(0);
      expect(verdicts.filter(({ holds }) => !holds)).toEqual([]);
    },
    120_000,
  );
});
