import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { expect, inject, test } from "vitest";

const site = inject("site");

test.skipIf(site === "")("the server of `npm run apps` sends what threads need", async () => {
  const port = await freePort();
  const vite = join(dirname(createRequire(import.meta.url).resolve("vite/package.json")), "bin/vite.js");
  const args = [
    vite,
    "preview",
    "--outDir",
    site,
    "--host",
    "127.0.0.1",
    "--port",
    String(port),
    "--strictPort",
  ];
  const server = spawn(process.execPath, args, { cwd: join(import.meta.dirname, ".."), stdio: "pipe" });
  try {
    await listening(server);
    for (const page of ["", "train/"]) {
      const response = await fetch(`http://127.0.0.1:${port}/${page}`);
      expect(response.status).toBe(200);
      expect(response.headers.get("cross-origin-opener-policy")).toBe("same-origin");
      expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    }
  } finally {
    server.kill();
  }
});

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      // Of a server on a port.
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });

const listening = (server: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    let output = "";
    server.stderr!.on("data", (data) => (output += String(data)));
    server.stdout!.on("data", (data) => {
      output += String(data);
      if (output.includes("Local")) resolve();
    });
    server.once("exit", () => reject(new Error(`vite preview ended: ${output}`)));
  });
