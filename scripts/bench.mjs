// `pnpm bench`: runs the benchmarks of every package, packages/*/bench/*.bench.{ts,mjs}, one after the other.
// Names on the command line choose: `pnpm bench wasm-step` runs those whose path holds "wasm-step".
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join, relative } from "node:path";
import { root } from "./build.mjs";

const wanted = process.argv.slice(2);
const files = readdirSync(join(root, "packages"))
  .map((name) => join(root, "packages", name, "bench"))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((name) => relative(root, join(folder, name))))
  .filter((path) => /\.bench\.(ts|mjs)$/.test(path))
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`bench: no benchmark matches ${wanted.join(", ") || "packages/*/bench/*.bench.ts"}.`);
  process.exit(2);
}
const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
  cwd: root,
  encoding: "utf8",
}).stdout?.trim();
console.log(
  `${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, commit ${commit || "unknown"}\n`,
);
let failed = 0;
for (const path of files) {
  console.log(`# ${path}`);
  const result = spawnSync(process.execPath, commandOf(path), { cwd: root, stdio: "inherit" });
  failed += result.status === 0 ? 0 : 1;
}
process.exit(failed > 0 ? 1 : 0);

/** TypeScript runs through vitest, which knows the packages' sources. */
function commandOf(path) {
  if (path.endsWith(".mjs")) return [join(root, path)];
  return [join(root, "node_modules/vitest/vitest.mjs"), "bench", "--run", path];
}
