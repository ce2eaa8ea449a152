import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { hasChromium } from "../../test/browser/chromium.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the built site; empty where there is no browser to open it. */
    readonly site: string;
  }
}

/** Builds the site once for all tests, as `pnpm apps:build` does. */
export default async function buildSite(project: TestProject): Promise<(() => void) | undefined> {
  project.provide("site", "");
  if (!hasChromium()) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "dgate-site-"));
  const vite = join(dirname(createRequire(import.meta.url).resolve("vite/package.json")), "bin/vite.js");
  // In a process of its own: in this one NODE_ENV is "test", which libraries are built in by.
  await promisify(execFile)(
    process.execPath,
    [vite, "build", "--outDir", folder, "--emptyOutDir", "--logLevel", "error"],
    { cwd: join(import.meta.dirname, ".."), env: { ...process.env, NODE_ENV: "production" } },
  );
  project.provide("site", folder);
  return () => rmSync(folder, { recursive: true, force: true });
}
