import { describe, expect, test } from "vitest";
import type { DroppedFile } from "../ui/dropped-file.ts";
import { blobsOf, findModelFolder, MemoryFolders, modelName } from "./memory-files.ts";

const dropped = (...paths: readonly string[]): DroppedFile[] =>
  paths.map((path) => ({ path, content: new Blob([path]) }));
const tokenizer = (root: string): string[] => [`${root}tokenizer.json`, `${root}tokenizer_config.json`];

describe("a folder that was dropped", () => {
  test("is that of the config.json that lies highest", () => {
    const { name, files, subfolder } = findModelFolder(
      dropped(
        "a/m/1_Pooling/config.json",
        "a/m/config.json",
        ...tokenizer("a/m/"),
        "a/m/onnx/model.onnx",
        "a/notes.txt",
      ),
    );
    expect(name).toBe("m");
    expect(subfolder).toBe("onnx");
    expect([...files.keys()]).toEqual(
      expect.arrayContaining(["config.json", "tokenizer.json", "onnx/model.onnx", "1_Pooling/config.json"]),
    );
    expect(files.has("notes.txt")).toBe(false);
  });

  test("may have its ONNX file beside the config.json, under a name of its own", async () => {
    const { files, subfolder, name } = findModelFolder(dropped("config.json", ...tokenizer(""), "mine.onnx"));
    expect([subfolder, name]).toEqual(["", "model"]);
    expect(await files.get("model.onnx")!.text()).toBe("mine.onnx");
  });

  test.each([
    [["a/readme.txt"], "none of the 1 files is a config.json"],
    [["a/config.json", ...tokenizer("a/")], "not an ONNX file (onnx/model.onnx)"],
    [
      ["a/config.json", "a/onnx/model.onnx"],
      "not the tokenizer (tokenizer.json), nor the tokenizer's settings",
    ],
  ])("%j: it says what is missing", (paths, message) => {
    expect(() => findModelFolder(dropped(...paths))).toThrow(message);
  });

  test.each([
    ["my model (v2)", "my-model-v2"],
    ["..", "model"],
    ["bert--base..x", "bert-base-x"],
    ["", "model"],
  ])("its name %j becomes %j, which transformers.js takes", (folder, name) => {
    expect(modelName(folder)).toBe(name);
  });
});

describe("folders in memory", () => {
  test("answer as a server does, and of other addresses nothing", async () => {
    const memory = new MemoryFolders();
    memory.put(
      "m",
      blobsOf([
        ["onnx/model.onnx", Uint8Array.of(1, 2, 3)],
        ["config.json", "{}"],
      ]),
    );
    const found = memory.answer("/memory/m/onnx/model.onnx")!;
    expect(new Uint8Array(await found.arrayBuffer())).toEqual(Uint8Array.of(1, 2, 3));
    expect(await memory.answer("/memory/m/config.json")!.text()).toBe("{}");
    const head = memory.answer("/memory/m/onnx/model.onnx", "HEAD")!;
    expect([head.status, head.headers.get("Content-Length"), await head.text()]).toEqual([200, "3", ""]);
    expect(memory.answer("/memory/m/vocab.txt")!.status).toBe(404);
    memory.put("gone", blobsOf([["config.json", "{}"]]));
    memory.remove("gone");
    expect(memory.answer("/memory/gone/config.json")!.status).toBe(404);
    expect(memory.answer("/memory/other/config.json")!.status).toBe(404);
    expect(memory.answer("https://huggingface.co/m/config.json")).toBeUndefined();
  });
});
