import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PruneReport } from "@dgate/onnx";
import { expect, test, vi } from "vitest";

test("the example of training in the README is the file that runs here, and its neurons die", async () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const section = readme.slice(readme.indexOf("## Training\n"));
  const block = section.split("```ts\n")[1]!.split("```")[0]!;
  expect(block).toBe(readFileSync(join(import.meta.dirname, "training-example.ts"), "utf8"));
  const printed: unknown[][] = [];
  const log = vi
    .spyOn(console, "log")
    .mockImplementation((...values: unknown[]) => void printed.push(values));
  try {
    await import("./training-example.ts");
  } finally {
    log.mockRestore();
  }
  const [before, , after, removed] = printed[0] as [number, string, number, PruneReport["removed"]];
  expect(before).toBeGreaterThan(0.1);
  expect(after).toBeLessThan(before / 5);
  expect(removed).toHaveLength(1);
  expect(removed[0]).toMatchObject({ site: "hidden.neurons", groups: 64 });
  expect(removed[0]!.kept).toBeLessThan(32);
});
