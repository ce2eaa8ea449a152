import { experimentsProgram } from "./program.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
process.exitCode = await experimentsProgram(process.argv.slice(2), {
  signal: stop.signal,
  print: (text) => process.stdout.write(text),
  log: (line) => process.stderr.write(`${line}\n`),
});
