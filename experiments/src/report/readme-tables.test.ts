import { expect, test } from "vitest";
import { defineExperiment } from "../experiment.ts";
import type { Reported } from "./reported.ts";
import { withTables } from "./readme-tables.ts";

const reported = [
  {
    experiment: defineExperiment({
      name: "one",
      family: "theory",
      title: "One",
      claim: "It is one.",
      version: 1,
      seeds: 1,
      setups: () => [],
      measure: () => ({}),
      conclude: () => ({ verdicts: [], tables: [], charts: [] }),
    }),
    conclusion: {
      verdicts: [],
      tables: [{ title: "Ones", header: ["", "value"], rows: [["a", "**1**"]] }],
      charts: [],
    },
    records: [
      {
        hash: "0",
        setup: { seed: 1 },
        result: {},
        backend: "cpu",
        seconds: 1,
        commit: "abc",
        versions: {},
        cpu: "",
      },
    ],
  },
] satisfies readonly Reported[];

test("a table stands where it is asked for, and replaces what stood there", () => {
  const before = "# Title\n\n<!-- results one 1 -->\nold\n<!-- end of results -->\n\nrest\n";
  const after = withTables(before, reported, "README.md");
  expect(after).toBe(
    "# Title\n\n<!-- results one 1 -->\n\nOnes:\n\n|  | value |\n| --- | --- |\n| a | **1** |\n\n`pnpm experiments run one`, commit abc.\n\n<!-- end of results -->\n\nrest\n",
  );
  expect(withTables(after, reported, "README.md")).toBe(after);
});

test.each(["two 1", "one 2", "one 0"])("says which table is missing: %s", (asked) => {
  const text = `<!-- results ${asked} -->\n<!-- end of results -->`;
  expect(() => withTables(text, reported, "README.md")).toThrow(`README.md: "results ${asked}" asks`);
});
