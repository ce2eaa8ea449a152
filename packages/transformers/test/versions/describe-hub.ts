import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { access, cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quantizeDynamic, writeModel } from "@dgate/onnx";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { HeadGates } from "../../src/head-gates.ts";
import { openHeadGates, type HeadGatesOptions } from "../../src/open-head-gates.ts";
import type { LibraryModule } from "../../src/library/library.ts";
import { tinyBertFolder, tinyTexts } from "../tiny-bert-folder.ts";

type Env = { -readonly [K in keyof LibraryModule["env"]]: LibraryModule["env"][K] };

/** A hub on this machine: `/{model}/resolve/{revision}/{file}`. */
interface Hub {
  readonly url: string;
  /** What was asked for, `GET config.json` say. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** Serves a folder as the model `owner/tiny`. */
async function openHub(folder: string): Promise<Hub> {
  const requests: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, revision, file] = /^\/owner\/tiny\/resolve\/([^/]+)\/(.+)$/.exec(request.url!) ?? [];
    requests.push(`${request.method} ${file ?? request.url}`);
    const content =
      file !== undefined && ["main", "v1"].includes(revision!)
        ? await readFile(join(folder, file)).catch(() => undefined)
        : undefined;
    response.writeHead(content ? 200 : 404, content && { "content-length": content.length });
    response.end(request.method === "HEAD" ? undefined : content);
  };
  const server: Server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  return {
    url: `http://127.0.0.1:${port}/`,
    requests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function works(gates: HeadGates): Promise<void> {
  expect(await gates.pipeline(tinyTexts)).toHaveLength(tinyTexts.length);
  expect(gates.heads.values.map(({ length }) => length)).toEqual([4, 4]);
}

/** How one version of transformers.js finds the files of a model, and `openHeadGates` by its rules. */
export function describeHub(library: string, load: () => Promise<unknown>): void {
  describe(`files as ${library} finds them`, () => {
    let [parent, folder, hub, transformers]: [string, string, Hub, LibraryModule] = [] as never; // set before all
    let [env, before, cacheDir, localModelPath]: [Env, Env, string, string] = [] as never; // set before each
    const opened: HeadGates[] = [];

    beforeAll(async () => {
      transformers = (await load()) as LibraryModule; // the module
      env = transformers.env;
      parent = await mkdtemp(join(tmpdir(), "dgate-hub-"));
      folder = await tinyBertFolder(join(parent, "folder"), {
        files: (graph) => ({
          "onnx/model.onnx": writeModel(graph),
          "onnx/model_quantized.onnx": writeModel(quantizeDynamic(graph, { minimumElements: 0 }).graph),
        }),
      });
      hub = await openHub(folder);
    });

    afterAll(async () => {
      await hub.close();
      await rm(parent, { recursive: true });
    });

    beforeEach(async () => {
      before = { ...env };
      cacheDir = await mkdtemp(join(parent, "cache-"));
      localModelPath = await mkdtemp(join(parent, "local-"));
      Object.assign(env, { remoteHost: hub.url, cacheDir, localModelPath, useFSCache: true });
      Object.assign(env, { allowRemoteModels: true, allowLocalModels: true });
      hub.requests.length = 0;
    });

    afterEach(async () => {
      Object.assign(env, before);
      for (const gates of opened.splice(0)) await gates.pipeline.dispose?.();
    });

    const open = async (model: string, options: HeadGatesOptions = {}): Promise<HeadGates> => {
      const gates = await openHeadGates(model, { transformers, ...options });
      opened.push(gates);
      return gates;
    };
    test("an id comes from the hub into the cache, once; offline from there", async () => {
      await works(await open("owner/tiny"));
      expect(hub.requests.filter((request) => request === "GET onnx/model.onnx")).toHaveLength(1);
      expect(hub.requests).not.toContain("GET onnx/model_quantized.onnx");
      expect(await exists(join(cacheDir, "owner/tiny/onnx/model.onnx"))).toBe(true);
      hub.requests.length = 0;
      const cached = join(cacheDir, "owner/tiny/onnx/model.onnx");
      const { sizeBytes } = (await open("owner/tiny", { localFilesOnly: true })).internals.model.parts[0]!;
      expect(sizeBytes).toBe((await readFile(cached)).length);
      env.allowRemoteModels = false;
      await works(await open("owner/tiny"));
      expect(hub.requests).toEqual([]);
    });

    test("a revision has a place of its own in the cache; an unknown one is told with its URL", async () => {
      await works(await open("owner/tiny", { revision: "v1" }));
      expect(await exists(join(cacheDir, "owner/tiny/v1/onnx/model.onnx"))).toBe(true);
      await works(await open("owner/tiny", { revision: "v1", localFilesOnly: true }));
      await expect(open("owner/tiny", { revision: "v2" })).rejects.toMatchObject({
        code: "IO",
        message: expect.stringContaining(`${hub.url}owner/tiny/resolve/v2/config.json`),
      });
    });

    test("a cache directory that is given is used", async () => {
      const own = await mkdtemp(join(parent, "own-"));
      await works(await open("owner/tiny", { cacheDir: own, dtype: "q8" }));
      expect(await exists(join(own, "owner/tiny/onnx/model_quantized.onnx"))).toBe(true);
      expect(await exists(join(cacheDir, "owner"))).toBe(false);
      env.allowRemoteModels = false;
      await works(await open("owner/tiny", { cacheDir: own, dtype: "q8" }));
    });

    test("an id comes from the local model path without a request", async () => {
      await cp(folder, join(localModelPath, "owner/tiny"), { recursive: true });
      await works(await open("owner/tiny"));
      expect(hub.requests.filter((request) => request.endsWith(".onnx"))).toEqual([]);
    });

    test("a cache laid out by the library is enough", async () => {
      await cp(folder, join(cacheDir, "owner/tiny"), { recursive: true });
      env.allowRemoteModels = false;
      await works(await open("owner/tiny"));
      expect(hub.requests).toEqual([]);
    });

    test("what is cached and local is the same for the gates as for the pipeline: the cached one", async () => {
      await cp(folder, join(cacheDir, "owner/tiny"), { recursive: true });
      await tinyBertFolder(join(localModelPath, "owner/tiny"), { hidden: 40 });
      const gates = await open("owner/tiny", { sites: ["ffn"] });
      expect(gates.ffn.values.map(({ length }) => length)).toEqual([24, 24]);
      await gates.attach();
      expect(await gates.pipeline(tinyTexts)).toHaveLength(tinyTexts.length);
    });

    test("a folder is opened by its path, with or without a slash behind it", async () => {
      env.allowRemoteModels = false;
      await works(await open(folder));
      await works(await open(`${folder}/`));
      expect(env.localModelPath).toBe(localModelPath);
    });

    test("an id that is nowhere says which cache, folder and URL were tried", async () => {
      const places = [cacheDir, localModelPath].map((place) => join(place, "owner/other/config.json"));
      await expect(open("owner/other")).rejects.toMatchObject({
        code: "IO",
        message: expect.stringContaining(
          `tried ${[...places, `${hub.url}owner/other/resolve/main/config.json (HTTP 404)`].join(", ")}. Give`,
        ),
      });
      env.remoteHost = "http://127.0.0.1:9/";
      await expect(open("owner/other")).rejects.toThrow(
        /http:\/\/127\.0\.0\.1:9\/owner\/other\/resolve\/main\/config\.json \((ECONNREFUSED|bad port|fetch failed)\)/,
      );
      env.allowRemoteModels = false;
      await expect(open("owner/other")).rejects.toMatchObject({
        code: "IO",
        message: expect.stringContaining(`tried ${places.join(", ")}. Give the path`),
      });
      await expect(open("./no/folder/here")).rejects.toThrow("tried ./no/folder/here/config.json. Give");
      Object.assign(env, { allowLocalModels: false, useFSCache: false });
      await expect(open("owner/other")).rejects.toThrow("may use neither local nor remote models");
    });
  });
}
