// What the scripts here share: set-up and build. Nothing of it goes to stdout, and to stderr only what failed.
import { spawnSync } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Installs the dependencies if the lockfile or Node changed since the last time. An install says so on stderr. */
export function setUp() {
  const result = spawnSync(process.execPath, [join(root, "scripts/setup.mjs")], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (result.status !== 0) process.exit(1);
}

/** Builds the packages whose sources changed; `filters` are turbo's. */
export function build(filters = []) {
  const turbo = join(root, "node_modules/turbo/bin/turbo");
  const args = [turbo, "run", "build", "--output-logs=errors-only", "--log-prefix=none", ...filters];
  const result = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    // turbo asks for pnpm on the PATH.
    env: {
      ...process.env,
      TURBO_TELEMETRY_DISABLED: "1",
      PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
    },
  });
  if (result.status === 0) return;
  process.stderr.write(
    `${result.stdout ?? ""}${result.stderr ?? ""}dgate: the build failed; see the lines above.\n`,
  );
  process.exit(1);
}
