import { DgateError } from "@dgate/core";
import type { Graph } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { isMerged, plainDecoder } from "../decoder/plain-decoder.ts";

/** A graph with its blocks. */
export interface BlockedGraph {
  readonly graph: Graph;
  readonly blocks: readonly GatedBlock[];
}

/**
 * The first step of a merged decoder, with the same blocks by their names: what is in a branch that is not taken has no activations and no
 * gradient. Any other graph stays as it is.
 *
 * @throws DgateError `UNSUPPORTED` naming a block that the first step does not have
 */
export function firstStep({ graph, blocks }: BlockedGraph): BlockedGraph {
  if (!isMerged(graph)) return { graph, blocks };
  const plain = plainDecoder(graph).graph;
  const own = findBlocks(plain, "").blocks;
  const found = blocks.map(({ name, groups }) => {
    const block = own.find((each) => each.name === name && each.groups === groups);
    if (block) return block;
    throw new DgateError(
      "UNSUPPORTED",
      `importance: the first step of the merged decoder has no "${name}"; take "l2" or "random".`,
    );
  });
  return { graph: plain, blocks: found };
}
