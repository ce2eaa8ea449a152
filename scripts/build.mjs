// What the scripts here share: set-up and build, with everything they print on stderr.
import { spawnSync } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Installs the dependencies if the lockfile or Node changed since the last time. */
export function setUp() {
  must(process.execPath, [join(root, "scripts/setup.mjs")]);
}

/** Builds the packages whose sources changed; `filters` are turbo's. */
export function build(filters = []) {
  must(process.execPath, [
    turbo(),
    "run",
    "build",
    "--output-logs=errors-only",
    "--log-prefix=none",
    ...filters,
  ]);
}

/** turbo's own launcher, which needs no shell. */
const turbo = () => join(root, "node_modules/turbo/bin/turbo");

function must(command, args) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    // turbo asks for pnpm on the PATH.
    env: {
      ...process.env,
      TURBO_TELEMETRY_DISABLED: "1",
      PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
    },
  });
  if (result.status !== 0) process.exit(1);
}
