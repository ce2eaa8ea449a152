// Brings the pinned pnpm and installs from the frozen lockfile, with nothing but Node and npm at hand.
// Runs before `npm start` and `npm test`; does nothing when the lockfile and Node are those of the last install.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stampFile = join(root, "node_modules", ".dgate-setup");

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`dgate: Node ${process.versions.node} is too old; install Node 20.19 or newer.`);
  process.exit(2);
}

const lockfile = readFileSync(join(root, "pnpm-lock.yaml"));
const stamp = createHash("sha256").update(lockfile).update(process.version).digest("hex");
if (!existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) install();

function install() {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const args = [
    "--yes",
    packageManager,
    "install",
    "--frozen-lockfile",
    "--config.confirmModulesPurge=false",
  ];
  // Everything goes to stderr: stdout belongs to the command that follows.
  const result = spawnSync("npx", args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, CI: "1" },
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    console.error(
      "dgate: installing the dependencies failed; see the lines above, then run the command again.",
    );
    process.exit(1);
  }
  writeFileSync(stampFile, stamp);
}
