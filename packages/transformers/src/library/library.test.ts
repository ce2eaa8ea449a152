import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { describeLibrary, explainLoadFailure, explainOrtClash, findLibrary } from "./library.ts";

/** What a process dies of that loads one package after the other. */
async function errorAfter(first: string, second: string): Promise<string> {
  const script = `await import(${JSON.stringify(first)}); await import(${JSON.stringify(second)});`;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: import.meta.dirname,
  });
  const { stderr } = await run.catch((error: unknown) => error as { readonly stderr: string }); // what execFile fails with
  return /^Error: (.*)$/m.exec(stderr)?.[1] ?? "";
}

describe("two native copies of onnxruntime", { timeout: 60_000 }, () => {
  test("what Node says where they meet is explained, whichever comes first", async () => {
    const late = await errorAfter("onnxruntime-node", "transformers-v3");
    expect(late).toContain("version `VERS_1.21.0' not found");
    expect(explainOrtClash(late)).toBe(
      "two copies of onnxruntime-node meet in this process: one that wants its library of version 1.21.0, and another one (1.30.0) that was " +
        "loaded before. Only one of them can be loaded; import transformers.js first and leave `ort` out, or install onnxruntime-node 1.21.0 so " +
        "that both share it.",
    );
    expect(explainOrtClash(await errorAfter("transformers-v3", "onnxruntime-node"))).toMatch(
      /wants its library of version 1\.30\.0, and another one \(1\.21\.0\)/,
    );
    expect(explainLoadFailure("@huggingface/transformers", new Error(late))).toMatchObject({
      code: "MISSING_PACKAGE",
      message: explainOrtClash(late),
    });
  });

  test("is no missing package where npm keeps one below the library, nor without a version in the path", () => {
    const message =
      "/app/node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1: version `VERS_1.21.0' not found (required by " +
      "/app/node_modules/@huggingface/transformers/node_modules/onnxruntime-node/bin/napi-v3/linux/x64/onnxruntime_binding.node)";
    expect(explainLoadFailure("@huggingface/transformers", new Error(message))).toMatchObject({
      code: "MISSING_PACKAGE",
      message: expect.stringContaining(
        "wants its library of version 1.21.0, and another one that was loaded",
      ),
    });
  });

  test("another message is none", () => {
    expect(explainOrtClash("Load model failed: Protobuf parsing failed.")).toBeUndefined();
  });
});

describe("a package that does not load", () => {
  test.each([
    "Cannot find package '@xenova/transformers' imported from /app/index.js",
    "Failed to resolve module specifier '@xenova/transformers'",
    'Failed to resolve import "@xenova/transformers" from "src/a.ts". Does the file exist?',
    "Failed to load url @xenova/transformers (resolved id: @xenova/transformers). Does the file exist?",
  ])("is absent: %s", (message) => {
    const error = new Error(message);
    expect(explainLoadFailure("@xenova/transformers", error)).toBe(error);
  });

  test("is there, and what it needs is not", () => {
    const message =
      "Cannot find package 'sharp' imported from /app/node_modules/@xenova/transformers/src/utils/image.js";
    expect(explainLoadFailure("@xenova/transformers", new Error(message))).toMatchObject({
      code: "MISSING_PACKAGE",
      message: `@xenova/transformers does not load: ${message}`,
    });
  });
});

const pipeline = (): void => undefined;
const env = (version: unknown): object => ({ version, backends: { onnx: {} } });

describe("the module", () => {
  test.each([
    ["2.17.2", 2, "@xenova/transformers"],
    ["3.8.1", 3, "@huggingface/transformers"],
    ["4.3.1", 4, "@huggingface/transformers"],
  ])("of version %s", async (version, major, name) => {
    const module = { env: env(version), pipeline };
    expect(describeLibrary(module)).toMatchObject({ version, major, name });
    // As a CommonJS build comes out of import().
    expect(await findLibrary({ default: module })).toMatchObject({ version, major, module });
  });

  test("is the installed one where none is given", async () => {
    expect(await findLibrary()).toMatchObject({ name: "@huggingface/transformers", major: 4 });
  });

  test.each([[null], [{}], ["@huggingface/transformers"], [{ env: {}, pipeline }], [{ env: env("4.0.0") }]])(
    "is not %j",
    async (given) => {
      await expect(findLibrary(given)).rejects.toMatchObject({
        code: "OPTION",
        message: expect.stringContaining("give what import * as transformers gives"),
      });
    },
  );

  test.each(["1.4.0", "5.0.0", "next"])("of version %s is not known", async (version) => {
    await expect(findLibrary({ env: env(version), pipeline })).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: `openHeadGates: transformers.js ${version} is not known; versions 2.17, 3 and 4 are.`,
    });
  });
});
