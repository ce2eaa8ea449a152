import { type BackendName, describeBackend, useBackend } from "../src/backends/use-backend.ts";

// DGATE_BACKEND=node-gpu pnpm --filter @dgate/tfjs test: the whole suite on that backend. Without it, tfjs takes cpu.
const name = process.env["DGATE_BACKEND"];
if (name !== undefined && name !== "") {
  // An unknown name is refused by useBackend.
  const choice = await useBackend(name as BackendName | "auto");
  process.stderr.write(`tests run on ${describeBackend(choice)}\n`);
}
