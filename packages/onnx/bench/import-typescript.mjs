// Lets a benchmark, which plain Node runs, use the TypeScript of the tests.
import { mkdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

/** Compiles a module with what it imports by path, and imports it; packages are those that the benchmark imports too. */
export async function importTypeScript(path) {
  const folder = join(import.meta.dirname, "../node_modules/.cache/bench");
  mkdirSync(folder, { recursive: true });
  const outfile = join(folder, `${basename(path, ".ts")}.${process.pid}.mjs`);
  await build({
    entryPoints: [path],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "error",
  });
  const module = await import(pathToFileURL(outfile).href);
  rmSync(outfile);
  return module;
}
