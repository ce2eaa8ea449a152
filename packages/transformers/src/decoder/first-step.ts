import { DgateError } from "@dgate/core";
import type { Graph } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { isMerged, type PlainDecoder, plainDecoder } from "./plain-decoder.ts";

/** A graph with its blocks. */
export interface BlockedGraph {
  readonly graph: Graph;
  readonly blocks: readonly GatedBlock[];
}

/** What is run and learned of a graph, and the way back. */
export interface FirstStep extends BlockedGraph, PlainDecoder {}

/**
 * The first step of a merged decoder, with the same blocks by their names: what is in a branch that is not taken has no activations and no
 * gradient. Any other graph stays as it is.
 *
 * @param where what asks, for the message
 * @throws DgateError `UNSUPPORTED` naming a block that the first step does not have
 */
export function firstStep({ graph, blocks }: BlockedGraph, where: string): FirstStep {
  const plain = plainDecoder(graph);
  if (!isMerged(graph)) return { ...plain, blocks };
  const own = findBlocks(plain.graph, blocks[0]?.file ?? "").blocks;
  const found = blocks.map(({ name, groups, cached = false }) => {
    const block = own.find((each) => each.name === name && each.groups === groups);
    // The first step has no cache, but the whole has.
    if (block) return { ...block, cached };
    throw new DgateError(
      "UNSUPPORTED",
      `${where}: the first step of the merged decoder has no "${name}"; rank its groups by the importance "l2" or "random", which do not run the model.`,
    );
  });
  return { ...plain, blocks: found };
}
