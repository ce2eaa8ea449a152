import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";

// The example prints what training ends in, which is the same to the last neuron on one backend only.
const elsewhere = (process.env["DGATE_BACKEND"] ?? "cpu") !== "cpu";

test.skipIf(elsewhere)(
  "the example of shrinking in the README is the file that runs here, and prints what the README says",
  async () => {
    const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
    const section = readme.slice(readme.indexOf("## Shrink\n"));
    const block = (language: string): string => section.split(`\`\`\`${language}\n`)[1]!.split("```")[0]!;
    expect(block("ts")).toBe(readFileSync(join(import.meta.dirname, "shrink-example.ts"), "utf8"));
    const lines: string[] = [];
    const log = vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
    try {
      await import("./shrink-example.ts");
    } finally {
      log.mockRestore();
    }
    expect(`${lines.join("\n")}\n`).toBe(block("text"));
  },
);
