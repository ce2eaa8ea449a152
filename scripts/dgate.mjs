// `npm run --silent dgate -- ARGS`: sets up, builds what changed and runs the `dgate` command of this checkout in the folder
// that npm was called in. Only the command itself writes to stdout.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { build, root, setUp } from "./build.mjs";

setUp();
build(["--filter=@dgate/cli"]);

const command = join(root, "packages/cli/bin/dgate.mjs");
const child = spawn(process.execPath, [command, ...process.argv.slice(2)], {
  cwd: process.env.INIT_CWD ?? process.cwd(),
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
