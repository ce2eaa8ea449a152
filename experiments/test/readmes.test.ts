import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readmes } from "../src/program.ts";
import { withTables } from "../src/report/readme-tables.ts";
import { collectReported } from "../src/report/write-report.ts";

test.each(readmes)("tables of %s are those of the results", async (path) => {
  const results = join(import.meta.dirname, "../results");
  const { reported } = await collectReported({ results, quick: false, backend: "cpu" });
  const text = await readFile(path, "utf8");
  expect(text).toContain("<!-- results ");
  expect(withTables(text, reported, path)).toBe(text);
});
