import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { smallModel } from "../../test/small-model.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import type { Progress } from "./download.ts";
import { sha256 } from "./hash.ts";
import { load } from "./load.ts";

const bytes = writeModel(smallModel());
const x = tensorOf("float32", [1, 4], [1, -2, 3, -4]);
let server: Server;
let base = "";
let folder = "";
let requests: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dgate-web-"));
  server = createServer((request, response) => {
    requests.push(`${request.url}${request.headers["if-none-match"] ? " if changed" : ""}`);
    if (request.url === "/small.onnx") {
      if (request.headers["if-none-match"] === '"v1"') return response.writeHead(304).end();
      response.writeHead(200, { "content-length": bytes.length, etag: '"v1"' }).end(bytes);
    } else if (request.url === "/page.onnx") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<!doctype html>");
    } else if (request.url === "/slow.onnx") {
      response.writeHead(200, { "content-length": bytes.length }).write(bytes.subarray(0, 100));
    } else response.writeHead(404).end();
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  requests = [];
});

test("a model from a URL runs as in onnxruntime-node, tells its progress, its provider and its latency", async () => {
  const progress: Progress[] = [];
  const model = await load<"x", "y">(`${base}/small.onnx`, { onProgress: (step) => progress.push(step) });
  expect(model).toMatchObject({ provider: "wasm", threads: 1, sizeBytes: bytes.length });
  expect(model.notes).toEqual(["webgpu: this environment has no navigator.gpu"]);
  expect(progress[0]).toEqual({ phase: "download", loaded: 0, total: bytes.length });
  expect(progress.map(({ phase }) => phase)).toEqual(
    expect.arrayContaining(["download", "start", "warm-up"]),
  );
  expect(model.latency()).toMatchObject({ runs: 0, medianMs: Number.NaN });

  const node = await openRunner(bytes);
  const expected = numbersOf((await node.run({ x })).y!);
  const { y } = await model.run({ x });
  numbersOf(y).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6));
  await model.run({ x });
  const { runs, medianMs, p95Ms } = model.latency();
  expect(runs).toBe(2);
  expect(p95Ms).toBeGreaterThanOrEqual(medianMs);
  await Promise.all([model.dispose(), node.dispose()]);
  await expect(model.run({ x })).rejects.toThrow(/was disposed/);
});

test("bytes, a path and a file URL are loaded without a server", async () => {
  const path = join(folder, "small.onnx");
  writeFileSync(path, bytes);
  for (const source of [bytes, path, pathToFileURL(path)]) {
    const model = await load(source, { providers: ["wasm"] });
    expect(model).toMatchObject({ sizeBytes: bytes.length, notes: [] });
    await model.dispose();
  }
});

describe("the cache", () => {
  test("with a known hash the second load needs no network; a damaged entry is fetched again", async () => {
    const cache = join(folder, "by-hash");
    const options = { cache, sha256: await sha256(bytes), providers: ["wasm"] } as const;
    for (let i = 0; i < 2; i++) await (await load(`${base}/small.onnx`, options)).dispose();
    expect(requests).toEqual(["/small.onnx"]);
    expect(readdirSync(cache)).toEqual([options.sha256]);
    writeFileSync(join(cache, options.sha256), "damaged");
    await (await load(`${base}/small.onnx`, options)).dispose();
    expect(requests).toEqual(["/small.onnx", "/small.onnx"]);
  });

  test("without a hash the server is asked whether the file has changed", async () => {
    const options = { cache: join(folder, "by-etag"), providers: ["wasm"] } as const;
    for (let i = 0; i < 2; i++) await (await load(`${base}/small.onnx`, options)).dispose();
    expect(requests).toEqual(["/small.onnx", "/small.onnx if changed"]);
  });
});

describe("what cannot be loaded is refused with a typed error", () => {
  test.each([
    ["a missing file", "/none.onnx", {}, "IO", /answers 404/],
    ["a web page", "/page.onnx", {}, "FORMAT", /gives a web page, not a model/],
    ["a wrong hash", "/small.onnx", { sha256: "0".repeat(64) }, "CHECK", /expected 0{64}/],
    ["a malformed hash", "/small.onnx", { sha256: "abc" }, "OPTION", /64 hexadecimal digits/],
    ["a file past the limit", "/small.onnx", { maxBytes: 100 }, "IO", /larger than 100 bytes/],
    ["no provider", "/small.onnx", { providers: [] }, "OPTION", /providers must name/],
    ["no threads", "/small.onnx", { threads: 0 }, "OPTION", /threads must be/],
    [
      "unfit warm-up feeds",
      "/small.onnx",
      { warmUp: {} },
      "FORMAT",
      /no provider takes http.*small.onnx .*not fed.*warmUp feeds that fit/,
    ],
  ] as const)("%s", async (_, path, options, code, message) => {
    const failed = load(`${base}${path}`, options);
    await expect(failed).rejects.toMatchObject({ name: "DgateError", code });
    await expect(failed).rejects.toThrow(message);
  });

  test("bytes that are no model", async () => {
    await expect(load(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: "FORMAT" });
  });

  test("a file that is cut off is named, with what to do", async () => {
    const path = join(folder, "cut.onnx");
    writeFileSync(path, Uint8Array.of(8, 8, 58, 100, 1, 2, 3));
    await expect(load(path)).rejects.toMatchObject({
      code: "FORMAT",
      message: expect.stringMatching(/no provider takes .*cut\.onnx \(.*dgate inspect .*cut\.onnx\.$/),
    });
  });

  test("a run with another shape is refused with what the input takes", async () => {
    const model = await load(`${base}/small.onnx`);
    await expect(model.run({ x: { data: [1, 2, 3], shape: [1, 3] } })).rejects.toMatchObject({
      code: "SHAPE",
      message: expect.stringContaining('input "x" takes float32[batch, 4], got float32[1, 3]'),
    });
    await model.dispose();
  });

  test("a cancelled load ends at once", async () => {
    const controller = new AbortController();
    const loading = load(`${base}/slow.onnx`, {
      signal: controller.signal,
      onProgress: ({ loaded }) => loaded > 0 && controller.abort(),
    });
    await expect(loading).rejects.toMatchObject({ code: "ABORTED" });
    await expect(load(bytes, { signal: controller.signal })).rejects.toMatchObject({ code: "ABORTED" });
  });
});
