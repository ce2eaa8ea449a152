import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");
const source = join(root, "packages/core/src");
const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter(
  (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
);

interface SizeResult {
  readonly name: string;
  readonly passed: boolean;
  readonly size: number;
  readonly sizeLimit: number;
}

describe("@dgate/core as a package", () => {
  test("everything is under 8 kB, minified and gzipped", () => {
    const tool = join(root, "node_modules/size-limit/bin.js");
    const { stdout } = spawnSync(process.execPath, [tool, "--json"], { cwd: root, encoding: "utf8" });
    const results = JSON.parse(stdout) as SizeResult[];
    const core = results.filter(({ name }) => name.startsWith("@dgate/core"));
    expect(core.map(({ sizeLimit }) => sizeLimit)).toEqual([8000, 1200, 2000]);
    for (const { size, sizeLimit } of core) expect(size).toBeLessThanOrEqual(sizeLimit);
  });

  test("imports nothing but its own files, so that it runs in a browser", () => {
    expect(files.length).toBeGreaterThan(20);
    for (const name of files) {
      const text = readFileSync(join(source, name), "utf8");
      const imported = [...text.matchAll(/\bfrom "([^"]+)"/g)].map((match) => match[1]!);
      expect(imported.filter((path) => !path.startsWith("."))).toEqual([]);
      expect(text).not.toMatch(/\b(process|Buffer|require|__dirname)\b[.(]/);
    }
  });
});
