import type { ModelFiles } from "../source/model-files.ts";
import { contentOf, type FileContent } from "./file-content.ts";

/** Weights of other libraries: they are those of the dense model. */
const otherWeights =
  /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|ot|gguf|tflite|onnx|onnx_data\w*|index\.json)$/;

/** Files that are written anew. */
const writtenAnew: readonly string[] = ["config.json", "README.md"];

/** Files of the model that are copied byte for byte: tokenizer, processor, generation config, licence. */
export async function copiedFiles(files: ModelFiles): Promise<FileContent[]> {
  const paths = (await files.list()).filter(
    (path) => !writtenAnew.includes(path) && !otherWeights.test(path) && !path.startsWith("."),
  );
  const found = await Promise.all(
    paths.map(async (path) => {
      const bytes = await files.read(path);
      return bytes ? [contentOf(path, bytes)] : [];
    }),
  );
  return found.flat();
}
