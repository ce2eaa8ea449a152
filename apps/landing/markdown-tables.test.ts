import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { resultTables } from "./markdown-tables.ts";

test("the tables of the README that experiments have written are found whole", () => {
  const tables = resultTables(readFileSync(new URL("../../README.md", import.meta.url), "utf8"));
  const neurons = tables.get("lenet-300-100-neurons 1")!;
  expect(neurons.caption).toContain("Test accuracy in %");
  expect(neurons.header.length).toBeGreaterThan(3);
  expect(neurons.rows.length).toBeGreaterThan(10);
  for (const row of neurons.rows) expect(row).toHaveLength(neurons.header.length);
});

test("a text without results has no tables", () => {
  expect(resultTables("# Title\n\n| a |\n| --- |\n| 1 |\n").size).toBe(0);
});
