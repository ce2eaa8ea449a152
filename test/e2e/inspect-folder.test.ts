import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dgate } from "./dgate.ts";

const data = dataFolder();
const bert = join(data ?? "", "models/bert-mini-sst2");

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-inspect-"));
});

afterEach(() => rm(folder, { recursive: true }));

describe.skipIf(!data)("dgate inspect of a model folder", () => {
  test("says what inspect of its file says, and what learn can gate", async () => {
    const [whole, file] = await Promise.all(
      [[bert], [join(bert, "onnx/model.onnx"), "--dim", "batch_size=1", "--dim", "sequence_length=64"]].map(
        async (args) =>
          JSON.parse((await dgate(["inspect", ...args, "--json"])).stdout) as Record<string, unknown>,
      ),
    );
    for (const key of ["parameters", "macs", "bytes", "operators", "sites", "attention", "dims", "assumed"]) {
      expect({ [key]: whole![key] }).toEqual({ [key]: file![key] });
    }
    expect(whole).toMatchObject({
      path: bert,
      dtype: "fp32",
      task: "text-classification",
      files: [{ path: "onnx/model.onnx", bytes: file!["bytes"], parameters: file!["parameters"] }],
      notGated: [],
    });
    const blocks = whole!["blocks"] as readonly { readonly kind: string; readonly groups: number }[];
    const of = (kind: string) => blocks.filter((block) => block.kind === kind).map(({ groups }) => groups);
    expect([of("heads"), of("ffn"), of("layers").length]).toEqual([
      [8, 8, 8, 8],
      [1024, 1024, 1024, 1024],
      8,
    ]);
  });

  test("an id is looked up in the cache of transformers.js", async () => {
    await cp(bert, join(folder, "some/bert"), { recursive: true });
    const args = ["inspect", "some/bert", "--local", "--cache-dir", folder, "--json"];
    const { code, stdout } = await dgate(args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ path: "some/bert", parameters: 11_056_386 });
  });

  test("grouped-query attention, as a table", async () => {
    const { code, stdout } = await dgate(["inspect", join(data!, "models/tinyllamas/stories260K")]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\/model\/layers\.4\/self_attn\s+MatMul\s+8\s+4\s+8\s+yes/m);
    expect(stdout).toMatch(/^heads 4\s+4 /m);
  });

  test("a folder without config.json, one without ONNX files, and an id that is nowhere", async () => {
    const plain = await dgate(["inspect", join(data!, "models/vit-cifar10-pgd-2-3-16")]);
    expect(plain).toMatchObject({ code: 2, stdout: "" });
    expect(plain.stderr).toMatch(
      /^dgate: inspect .*has no config\.json.*give a file of it: .*model\.onnx\.\n$/,
    );
    await writeFile(join(folder, "config.json"), "{}");
    const empty = await dgate(["inspect", folder]);
    expect(empty.code).toBe(2);
    expect(empty.stderr).toMatch(/^dgate: inspect .*has no ONNX file; tried onnx\/model\.onnx, .*\n$/);
    await writeFile(join(folder, "config.json"), "{");
    expect((await dgate(["inspect", folder])).stderr).toMatch(/config\.json is no JSON/);
    const unknown = await dgate(["inspect", "org/nowhere", "--local"]);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/^dgate: inspect org\/nowhere: .*tried .*org\/nowhere\/config\.json.*\n$/);
  });
});
