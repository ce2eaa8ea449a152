import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Bundles a module from the sources of the packages, as a page would; the folder it is in, for the caller to remove. */
export async function bundlePage(module: URL): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "dgate-page-"));
  await build({
    entryPoints: [fileURLToPath(module)],
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    conditions: ["@dgate/source", "onnxruntime-web-use-extern-wasm"],
    outdir: folder,
    minify: true,
    logLevel: "error",
  });
  return folder;
}
