import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";

test("the example of gated training in the README is the file that runs here, and its neurons die", async () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const section = readme.slice(readme.indexOf("## Gated training\n"));
  const block = section.split("```ts\n")[1]!.split("```")[0]!;
  expect(block).toBe(readFileSync(join(import.meta.dirname, "gating-example.ts"), "utf8"));
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
  try {
    await import("./gating-example.ts");
  } finally {
    log.mockRestore();
  }
  expect(lines).toHaveLength(40);
  const active = lines.map((line) => Number(/active (\d+)\/32/.exec(line)?.[1]));
  expect(active[0]).toBe(32);
  expect(active.at(-1)).toBeLessThan(16);
  expect(active.at(-1)).toBeGreaterThan(0);
});
