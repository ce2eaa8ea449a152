// `pnpm check:packages`: looks at the built packages as npm would publish them. publint (fields and files), are-the-types-wrong
// (ESM only) and the size limits of .size-limit.json.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { root } from "./build.mjs";

const packages = readdirSync(join(root, "packages"))
  .map((name) => join(root, "packages", name))
  .filter((folder) => existsSync(join(folder, "package.json")))
  .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) }))
  .filter(({ manifest }) => !manifest.private);

let failed = 0;
for (const { folder, manifest } of packages) {
  const { messages } = await publint({ pkgDir: folder, pack: "pnpm", strict: true });
  for (const message of messages) console.error(`${manifest.name}: ${formatMessage(message, manifest)}`);
  const types = nodeBinary("attw", ["--pack", folder, "--profile", "esm-only", "--quiet"]);
  const fine = messages.length === 0 && types === 0;
  console.log(`${manifest.name}: ${fine ? "fit to publish" : "not fit to publish"}`);
  failed += fine ? 0 : 1;
}
failed += nodeBinary("size-limit", []) === 0 ? 0 : 1;
process.exit(failed > 0 ? 1 : 0);

/** Runs a tool of node_modules/.bin and gives its exit code. */
function nodeBinary(name, args) {
  const { status, error } = spawnSync(join(root, "node_modules/.bin", name), args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
    shell: process.platform === "win32",
  });
  if (error) console.error(`${name}: ${error.message}`);
  return status ?? 1;
}
