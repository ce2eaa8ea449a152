import type { Graph } from "@dgate/onnx";

/**
 * Sizes of a model's open dimensions where the caller gives none: one example of 128 tokens (or as many as the model takes), without a past; of images
 * what the model takes.
 *
 * @param config of the model, for its number of positions and the size of its images
 */
export function dimsOf(
  graph: Graph,
  config: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const limits = [config["max_position_embeddings"], config["n_positions"]].filter(
    (limit) => typeof limit === "number",
  );
  const tokens = Math.min(128, ...limits);
  const dims: Record<string, number> = {};
  for (const { type } of graph.inputs) {
    for (const dim of type?.shape ?? []) {
      if (typeof dim !== "string") continue;
      dims[dim] =
        imageSize(dim, config) ?? (/past/.test(dim) ? 0 : /seq|len|tokens|positions/.test(dim) ? tokens : 1);
    }
  }
  return { ...dims, ...given };
}

/** Of some sizes those of images, which a model takes in one size only, whatever its file says. */
export function imageDims(dims: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(dims).filter(([name]) => imageAxis.test(name)));
}

const imageAxis = /channel|height|width/i;

function imageSize(dim: string, config: Readonly<Record<string, unknown>>): number | undefined {
  if (!imageAxis.test(dim)) return undefined;
  if (/channel/i.test(dim)) return typeof config["num_channels"] === "number" ? config["num_channels"] : 3;
  const size = config["image_size"];
  const side: unknown = Array.isArray(size) ? size[/height/i.test(dim) ? 0 : 1] : size;
  return typeof side === "number" ? side : 224;
}
