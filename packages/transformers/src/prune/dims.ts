import type { Graph } from "@dgate/onnx";

/**
 * Sizes of a model's open dimensions where the caller gives none: one example of 128 tokens (or as many as the model takes), without a past.
 *
 * @param config of the model, for its number of positions
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
      dims[dim] = /past/.test(dim) ? 0 : /seq|len|tokens|positions/.test(dim) ? tokens : 1;
    }
  }
  return { ...dims, ...given };
}
