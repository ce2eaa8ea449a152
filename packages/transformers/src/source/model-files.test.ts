import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeFiles } from "../../test/tiny-bert-folder.ts";
import type { Library, LibraryEnv } from "../library/library.ts";
import { isModelId, join, modelFiles } from "./model-files.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(`${tmpdir()}/dgate-files-`);
});

afterEach(() => rm(folder, { recursive: true }));

/** A library with these settings, as far as files are concerned. */
function library(settings: Partial<LibraryEnv> = {}, major: Library["major"] = 4): Library {
  const env: Partial<LibraryEnv> = {
    allowRemoteModels: true,
    allowLocalModels: true,
    localModelPath: `${folder}/models/`,
    remoteHost: "https://hub.test/",
    remotePathTemplate: "{model}/resolve/{revision}/",
    useBrowserCache: false,
    useFSCache: true,
    cacheDir: `${folder}/cache`,
    useCustomCache: false,
    customCache: null,
    fetch: () => Promise.reject(new Error("no network")),
    ...settings,
  };
  return { name: "@huggingface/transformers", version: "test", major, module: { env } as never }; // the rest is not called
}

/** Places of config.json, the folder of the test cut off. */
const placesOf = (...given: Parameters<typeof modelFiles>): string[] =>
  modelFiles(...given)
    .places("config.json")
    .map((place) => place.replace(folder, "…"));

describe("places", () => {
  test("of an id: the cache, the local model path, the hub", () => {
    expect(placesOf(library(), "owner/name")).toEqual([
      "…/cache/owner/name/config.json",
      "…/models/owner/name/config.json",
      "https://hub.test/owner/name/resolve/main/config.json",
    ]);
    expect(placesOf(library(), "owner/name", { revision: "refs/pr/1", cacheDir: "/own" })).toEqual([
      "/own/owner/name/refs/pr/1/config.json",
      "…/models/owner/name/config.json",
      "https://hub.test/owner/name/resolve/refs%2Fpr%2F1/config.json",
    ]);
  });

  test.each<[string, Partial<LibraryEnv>, object, readonly string[]]>([
    ["no remote models", { allowRemoteModels: false }, {}, ["cache", "models"]],
    ["local files only", {}, { localFilesOnly: true }, ["cache", "models"]],
    ["no local models", { allowLocalModels: false }, {}, ["cache", "hub"]],
    ["no cache", { useFSCache: false }, {}, ["models", "hub"]],
    ["no cache directory", { cacheDir: null }, {}, ["models", "hub"]],
    ["no local model path", { localModelPath: null }, {}, ["cache", "hub"]],
  ])("follow the settings: %s", (_, settings, options, expected) => {
    const found = placesOf(library(settings), "owner/name", options);
    expect(found.map((place) => /cache|models|hub/.exec(place)![0])).toEqual(expected);
  });

  test("of a path: itself; version 2 looks for a relative one beneath the local model path", () => {
    for (const major of [2, 3, 4] as const) {
      for (const name of ["/a/b", "./a", "../a/b", "C:/a/b"]) {
        expect(placesOf(library({}, major), name)).toEqual([`${name}/config.json`]);
      }
    }
    expect(placesOf(library({}, 4), "a/b/c")).toEqual(["a/b/c/config.json"]);
    expect(placesOf(library({}, 2), "a/b/c")).toEqual(["…/models/a/b/c/config.json"]);
  });

  test("of a folder without a library: itself", () => {
    expect(placesOf(undefined, "some/folder/")).toEqual(["some/folder/config.json"]);
  });
});

/** config.json of a hub that answers with content of this type. */
function answered(type: string): Promise<Uint8Array | undefined> {
  const answer = async (): Promise<Response> => new Response("{}", { headers: { "content-type": type } });
  return modelFiles(library({ fetch: answer }), "owner/name").read("config.json");
}

describe("files", () => {
  test("are read from the first place that has them", async () => {
    await writeFiles(folder, {
      "models/owner/name/config.json": "local",
      "cache/owner/name/other": "cached",
    });
    const files = modelFiles(library(), "owner/name");
    const text = async (path: string): Promise<string> => new TextDecoder().decode(await files.read(path));
    expect(await text("config.json")).toBe("local");
    expect(await text("other")).toBe("cached");
    await writeFiles(folder, { "cache/owner/name/config.json": "cached" });
    expect(await text("config.json")).toBe("cached");
    expect([await files.has("config.json"), await files.has("onnx/model.onnx")]).toEqual([true, false]);
    expect(await files.read("onnx/model.onnx")).toBeUndefined();
    // A folder is no file.
    expect(await modelFiles(library(), "owner").read("name")).toBeUndefined();
    expect(await modelFiles(library(), "owner").has("name")).toBe(false);
  });

  test("come from a cache of the user's own: as a response or as a path", async () => {
    await writeFiles(folder, { kept: "from a path" });
    const asked: string[] = [];
    const customCache: NonNullable<LibraryEnv["customCache"]> = {
      match: async (key) => {
        asked.push(key);
        if (key.endsWith("config.json")) return new Response("from a response");
        return key.endsWith("other") ? `${folder}/kept` : undefined;
      },
    };
    const files = modelFiles(library({ useCustomCache: true, customCache }), "owner/name");
    const text = async (path: string): Promise<string> => new TextDecoder().decode(await files.read(path));
    expect(await text("config.json")).toBe("from a response");
    expect(await text("other")).toBe("from a path");
    expect(await files.has("third")).toBe(false);
    expect(asked[0]).toBe("https://hub.test/owner/name/resolve/main/config.json");
  });

  test.each<[string, typeof fetch, string]>([
    [
      "an unknown host",
      async () => {
        throw new TypeError("fetch failed", { cause: Object.assign(new Error(), { code: "ENOTFOUND" }) });
      },
      "ENOTFOUND",
    ],
    ["a refusal", async () => new Response("", { status: 401 }), "HTTP 401"],
  ])("places tell why the hub did not answer: %s", async (_, answer, why) => {
    const files = modelFiles(library({ fetch: answer }), "owner/name");
    expect(await files.read("config.json")).toBeUndefined();
    expect(files.places("config.json").at(-1)).toBe(
      `https://hub.test/owner/name/resolve/main/config.json (${why})`,
    );
  });

  test("a fetch of the user's own need not give a Response of this realm", async () => {
    const { ok, status, headers } = new Response("{}");
    const answer = { ok, status, headers, arrayBuffer: async () => new TextEncoder().encode("{}").buffer };
    const files = modelFiles(library({ fetch: async () => answer as Response }), "owner/name");
    expect(await files.read("config.json")).toEqual(new TextEncoder().encode("{}"));
  });

  test("a start page in place of a file is none", async () => {
    expect(await answered("text/html; charset=utf-8")).toBeUndefined();
    expect(await answered("application/json")).toBeDefined();
  });

  test("of a folder are listed as they lie there, without ONNX files", async () => {
    await writeFiles(folder, {
      "models/owner/name/vocab.special": "",
      "models/owner/name/model.onnx": "",
      "models/owner/name/model.onnx_data_1": "",
      "models/owner/name/onnx/model.onnx": "",
    });
    for (const files of [
      modelFiles(library(), "owner/name"),
      modelFiles(undefined, `${folder}/models/owner/name`),
    ]) {
      const names = await files.list();
      expect(names).toContain("vocab.special");
      expect(names).toContain("tokenizer.json");
      expect(names.filter((name) => name.includes("onnx"))).toEqual([]);
    }
  });
});

test("an id is one or two names", () => {
  expect(["a", "a/b", "Xenova/all-MiniLM-L6-v2", "a_b.c"].filter((name) => !isModelId(name))).toEqual([]);
  expect(
    ["", "/a", "./a", "../a", "a/b/c", "a/", "a b", "C:\\a", ".", "a--b", "a.git"].filter(isModelId),
  ).toEqual([]);
});

test("parts are joined by one slash", () => {
  expect(join("https://host/", "/a/", "b")).toBe("https://host/a/b");
  expect(join("/", "a")).toBe("/a");
  expect(join("a", "")).toBe("a/");
});
