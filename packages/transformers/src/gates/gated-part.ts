import { DgateError } from "@dgate/core";
import { dequantizeModel, type Graph, hasCodes } from "@dgate/onnx";
import type { BlockFinding, GatedBlock, SiteGroup } from "../blocks/block.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import type { ModelPart } from "../source/open-model.ts";
import { type LiveGraph, liveGraph } from "./live-graph.ts";

/** One ONNX file of the model with its gates. */
export interface GatedPart {
  readonly file: string;
  /** The file as it is. */
  readonly source: ModelPart;
  /** Whether the file holds integer codes in place of weights. */
  readonly quantized: boolean;
  /** The model in floating point as it was opened: of a quantized file its dequantized form. */
  readonly dense: Graph;
  /** The same with the weights that were learned since. */
  graph: Graph;
  /** Blocks of `graph`, of all kinds. */
  readonly blocks: readonly GatedBlock[];
  readonly findings: readonly BlockFinding[];
  /** `graph` with a gate for every group of the chosen kinds; `undefined` where there is none. */
  live: LiveGraph | undefined;
}

/** Finds the blocks of a model's file and gates those of the chosen kinds. */
export function gatedPart(source: ModelPart, groups: readonly SiteGroup[]): GatedPart {
  const quantized = hasCodes(source.graph);
  const graph = quantized ? dequantizeModel(source.graph) : source.graph;
  const { blocks, findings } = findBlocks(graph, source.file);
  const chosen = blocks.filter(({ group }) => groups.includes(group));
  const live = chosen.length > 0 ? liveGraph(graph, chosen) : undefined;
  return { file: source.file, source, quantized, dense: graph, graph, blocks, findings, live };
}

/**
 * Refuses a model whose files name different places alike: gates and scores go by the names.
 *
 * @throws DgateError `UNSUPPORTED` naming the place and both files
 */
export function checkDistinct(parts: readonly Pick<GatedPart, "file" | "blocks">[]): void {
  const files = new Map<string, string>();
  for (const { file, blocks } of parts) {
    for (const { name } of blocks) {
      const other = files.get(name) ?? file;
      files.set(name, other);
      if (other === file) continue;
      throw new DgateError(
        "UNSUPPORTED",
        `openHeadGates: ${other}.onnx and ${file}.onnx both have a place "${name}", and gates go by names; prune the files one by one with @dgate/onnx.`,
      );
    }
  }
}
