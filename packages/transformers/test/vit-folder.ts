import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { readModel, writeModel } from "@dgate/onnx";

/** Side of the images of CIFAR-10. */
export const cifarSide = 32;

/** An image of CIFAR-10: RGB, pixel by pixel. */
export interface CifarImage {
  readonly pixels: Uint8ClampedArray;
  readonly label: number;
}

/**
 * A transformers.js folder of the vision transformer of the data folder, which is an ONNX file only: its input and output get the names that the library
 * asks for, and its README's normalisation becomes the processor's.
 *
 * @param data the folder of real data
 * @returns a folder of its own in the temporary one, for the caller to remove
 */
export async function vitFolder(data: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dgate-vit-"));
  const graph = readModel(await readFile(join(data, "models/vit-cifar10-pgd-2-3-16/model.onnx")));
  graph.rename(graph.inputs.find(({ name }) => name === "input")!, "pixel_values");
  // As in the exports of the hub, whose files do not say the one size that they take.
  const pixels = graph.value("pixel_values")!;
  pixels.type = { dtype: "float32", shape: ["batch_size", "num_channels", "height", "width"] };
  graph.rename(graph.outputs.find(({ name }) => name === "output")!, "logits");
  const names = (await readFile(join(data, "cifar10/batches.meta.txt"), "utf8"))
    .split(/\s+/)
    .filter((name) => name !== "");
  await mkdir(join(folder, "onnx"));
  await writeFile(join(folder, "onnx/model.onnx"), writeModel(graph));
  await writeFile(join(folder, "config.json"), JSON.stringify(configOf(names), undefined, 2));
  await writeFile(join(folder, "preprocessor_config.json"), JSON.stringify(processor, undefined, 2));
  return folder;
}

const configOf = (names: readonly string[]): object => ({
  model_type: "vit",
  architectures: ["ViTForImageClassification"],
  hidden_size: 48,
  image_size: cifarSide,
  patch_size: 16,
  num_channels: 3,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  id2label: Object.fromEntries(names.map((name, id) => [id, name])),
  label2id: Object.fromEntries(names.map((name, id) => [name, id])),
});

const processor = {
  // Version 2 reads the first name, later ones the second.
  feature_extractor_type: "ViTFeatureExtractor",
  image_processor_type: "ViTImageProcessor",
  do_resize: true,
  size: { height: cifarSide, width: cifarSide },
  resample: 2,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.4914, 0.4822, 0.4465],
  image_std: [0.2023, 0.1994, 0.201],
};

/**
 * Images of CIFAR-10 from the start of a file of the data folder; classes take turns in it.
 *
 * @param data the folder of real data
 */
export async function cifarImages(
  count: number,
  file: "test_subset_3000" | "train_subset_8000",
  data: string,
): Promise<CifarImage[]> {
  const bytes = await promisify(gunzip)(await readFile(join(data, `cifar10/${file}.bin.gz`)));
  const area = cifarSide * cifarSide;
  return Array.from({ length: Math.min(count, bytes.length / (1 + 3 * area)) }, (_, index) => {
    const start = index * (1 + 3 * area);
    // Planes of red, green and blue become pixels.
    const pixels = Uint8ClampedArray.from(
      { length: 3 * area },
      (__, i) => bytes[start + 1 + (i % 3) * area + Math.floor(i / 3)]!,
    );
    return { pixels, label: bytes[start]! };
  });
}
