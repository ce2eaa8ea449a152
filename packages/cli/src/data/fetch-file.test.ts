import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { fetchFile } from "./fetch-file.ts";
import type { RemoteFile } from "./sources.ts";

const content = Buffer.from("digits ".repeat(5000));
let server: Server;
let host: string;
let cache: string;
let requests = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    requests += 1;
    if (request.url === "/whole") response.end(content);
    else if (request.url === "/long") response.end(Buffer.concat([content, content]));
    else if (request.url === "/short") response.end(content.subarray(0, 100));
    else if (request.url === "/cut")
      response
        .writeHead(200, { "content-length": content.length })
        .write(content.subarray(0, 100), () => response.destroy());
    else if (request.url === "/slow") response.write(content.subarray(0, 100));
    else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "dgate-fetch-"));
  requests = 0;
});

afterEach(() => rm(cache, { recursive: true }));

const remote = (path: string, changes: Partial<RemoteFile> = {}): RemoteFile => ({
  name: "digits.bin",
  url: host + path,
  sizeBytes: content.length,
  sha256: createHash("sha256").update(content).digest("hex"),
  ...changes,
});

const leftovers = async (): Promise<string[]> => readdir(join(cache, "set"));

test("a file is fetched once, checked and named", async () => {
  const lines: string[] = [];
  const progress = { line: (text: string) => lines.push(text), bar: () => undefined };
  const path = await fetchFile(remote("/whole"), "set", { cache, progress });
  expect(await readFile(path)).toEqual(content);
  expect(await fetchFile(remote("/whole"), "set", { cache })).toBe(path);
  expect(requests).toBe(1);
  expect(lines).toEqual([`fetching ${host}/whole (0.0 MB)`]);
  expect(await leftovers()).toEqual(["digits.bin"]);
});

test.each([
  [
    "a wrong digest",
    "/whole",
    { sha256: "0".repeat(64) },
    "CHECK",
    /SHA-256 is [0-9a-f]{64}, expected 0{64}; nothing was kept/,
  ],
  ["a short file", "/short", {}, "CHECK", /expected 35000 bytes, received 100/],
  ["a long file", "/long", {}, "CHECK", /received more than 35000/],
  ["an error page", "/missing", {}, "IO", /answers 404/],
  ["a broken connection", "/cut", {}, "IO", /cannot be fetched to .*DGATE_DATA/],
] as const)("%s is refused and leaves nothing", async (_, path, changes, code, message) => {
  const work = fetchFile(remote(path, changes), "set", { cache });
  await expect(work).rejects.toMatchObject({ code, message: expect.stringMatching(message) as unknown });
  expect(await leftovers()).toEqual([]);
});

test("without a network the error says where to put the file", async () => {
  const unreachable = remote("/whole", { url: "http://127.0.0.1:1/whole" });
  await expect(fetchFile(unreachable, "set", { cache })).rejects.toMatchObject({
    code: "IO",
    message: expect.stringMatching(/cannot be fetched .*put the file into DGATE_DATA\/set\//) as unknown,
  });
});

test("an abort leaves nothing", async () => {
  const controller = new AbortController();
  const work = fetchFile(remote("/slow"), "set", { cache, signal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  await expect(work).rejects.toMatchObject({ code: "ABORTED" });
  expect(await leftovers()).toEqual([]);
});
