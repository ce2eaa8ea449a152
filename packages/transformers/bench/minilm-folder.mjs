// A model folder of the size of all-MiniLM-L6-v2 (6 layers, 384 wide, 12 heads of 32, 1,536 neurons, 90 MB) with its tokenizer and random weights, for what
// depends on sizes alone.
import { cp, mkdir, mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeModelFile } from "@dgate/onnx/node";
import { importTypeScript } from "../../onnx/bench/import-typescript.mjs";

/** Writes the folder below the temporary directory, for the caller to remove. */
export async function miniLmFolder(data) {
  const { bert } = await importTypeScript(join(import.meta.dirname, "../../onnx/test/models/bert.ts"));
  const { graph } = bert({
    layers: 6,
    heads: 12,
    headDim: 32,
    hidden: 1536,
    vocabulary: 30522,
    positions: 512,
    head: "none",
  });
  const folder = await mkdtemp(join(tmpdir(), "dgate-minilm-"));
  const tokenizer = join(data, "tokenizers/all-MiniLM-L6-v2");
  for (const name of await readdir(tokenizer)) await cp(join(tokenizer, name), join(folder, name));
  await mkdir(join(folder, "onnx"));
  await writeModelFile(join(folder, "onnx/model.onnx"), graph);
  return folder;
}
