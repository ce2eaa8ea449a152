import { experimentsProgram } from "./program.ts";

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
process.exitCode = await experimentsProgram(process.argv.slice(2), {
  signal: stop.signal,
  print: (text) => process.stdout.write(text),
  log: (line) => process.stderr.write(`${line}\n`),
});
