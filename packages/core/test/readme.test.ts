import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";

const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");

/** The first code block of this language after a heading. */
function block(heading: string, language: string): string {
  const after = readme.slice(readme.indexOf(`## ${heading}\n`));
  return after.split(`\`\`\`${language}\n`)[1]!.split("```")[0]!;
}

test("the example of the README is the file that runs here, and prints what the README says", async () => {
  const source = readFileSync(join(import.meta.dirname, "readme-example.ts"), "utf8");
  expect(block("Example", "ts")).toBe(source);
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
  try {
    await import("./readme-example.ts");
  } finally {
    log.mockRestore();
  }
  expect(`${lines.join("\n")}\n`).toBe(block("Example", "text"));
});

test("every public name is in the README", async () => {
  const names = Object.keys({
    ...(await import("@dgate/core")),
    ...(await import("@dgate/core/safetensors")),
  });
  expect(names.length).toBeGreaterThan(40);
  expect(names.filter((name) => !readme.includes(`\`${name}`))).toEqual([]);
});
