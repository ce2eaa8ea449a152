#!/usr/bin/env node
import { run } from "../dist/run.js";

const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM"]) {
  process.on(name, () => {
    // The second one does not wait for the work to stop cleanly.
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  });
}
// Results alone go to stdout: what libraries log goes to stderr.
console.log = console.info = console.debug = console.error;
// A reader that closes the pipe early (`dgate … | head`) is no failure.
process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 1));

const code = await run(process.argv.slice(2), { signal: controller.signal });
// Some runtimes leave handles behind; leave as soon as stdout is flushed.
process.stdout.write("", () => process.exit(code));
