import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
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
  await build({
    root: join(import.meta.dirname, ".."),
    logLevel: "error",
    build: { outDir: folder, emptyOutDir: true },
  });
  project.provide("site", folder);
  return () => rmSync(folder, { recursive: true, force: true });
}
