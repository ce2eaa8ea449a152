import { DgateError } from "@dgate/core";
import { countCosts } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import type { HeadGates } from "../head-gates.ts";
import { chooseGroups, type KeptGroups, nouns, type Scores } from "./choose-groups.ts";
import { dimsOf } from "./dims.ts";
import { foldLive, type PrunedPart, prunePart } from "./prune-part.ts";
import { PrunedTransformer, type PrunedFile } from "./pruned-transformer.ts";

/** Options of `HeadGates.prune`. Without `keep` and `kept`, what the gates have turned off goes. */
export interface PruneOptions {
  /** Fraction of the heads (and neurons, of a model that has gates for them) that stays, ranked over all layers. */
  readonly keep?: number;
  /** Groups that stay, by the name of the block; blocks that are not named stay whole. */
  readonly kept?: Readonly<Record<string, readonly number[]>>;
  /** What decides with `keep`: scores from `importance`, by default the gates. */
  readonly scores?: Scores;
  /**
   * Whether all layers keep the same number of heads. By default so in decoders with a key–value cache, which versions 2 and 3 of
   * transformers.js cannot run otherwise; version 4 can.
   */
  readonly even?: boolean;
  /** At least so many groups of a layer stay (default 1). With 0 a layer may lose all: its whole branch goes then. */
  readonly minimum?: number;
  /** Neurons that a feed-forward layer keeps are a multiple of this number (default 8); 1 for none. */
  readonly align?: number;
  /** Sizes for the count of multiply–adds, by name of the model's dimensions; default 1 example of 128 tokens. */
  readonly dims?: Readonly<Record<string, number>>;
  readonly signal?: AbortSignal;
}

/**
 * Removes groups from every file of a model.
 *
 * @throws DgateError `OPTION`, `NO_MATCH` if nothing is to be removed, `CHECK` if a pruned file does not compute what the masked one does
 */
export async function pruneModel(gates: HeadGates, options: PruneOptions): Promise<PrunedTransformer> {
  const { parts, runtime } = gates.internals;
  const kept = chooseKept(gates, options);
  const files: PrunedFile[] = [];
  for (const part of parts) {
    const dims = dimsOf(part.graph, gates.internals.model.config, options.dims);
    const blocks = part.blocks.filter(({ name }) => kept.has(name));
    const before = sizeOf(part, dims);
    if (!part.live || blocks.length === 0) {
      const graph = part.quantized ? part.source.graph : part.graph;
      files.push({ part, graph, before, after: before, pruned: undefined, dims });
      continue;
    }
    const folded = foldLive(part.live, keptGates(gates.gatesOf(part), kept));
    const source = part.quantized ? part.source.graph : folded;
    const pruned: PrunedPart = await prunePart(source, {
      blocks,
      kept,
      dims,
      engine: runtime.engine,
      ...(options.signal && { signal: options.signal }),
    });
    files.push({ part, graph: pruned.graph, before, after: pruned.report.after, pruned, dims });
  }
  checkSomethingWent(files);
  return new PrunedTransformer(gates, files, kept);
}

/** A model of which nothing could be cut is no smaller one: the reason is told in place of it. */
function checkSomethingWent(files: readonly PrunedFile[]): void {
  const reports = files.flatMap(({ pruned }) => (pruned ? [pruned.report] : []));
  if (reports.some(({ removed }) => removed.some(({ groups, kept }) => kept < groups))) return;
  const [first] = reports.flatMap(({ keptBack }) => keptBack);
  const why = first
    ? `"${first.site}" keeps its groups, since ${first.reason}`
    : "no site of the model holds what was chosen";
  throw new DgateError(
    "UNSUPPORTED",
    `prune: none of the chosen groups can be removed without a difference: ${why}. Of a quantized model prune a file with float weights: { dtype: "fp32" }.`,
  );
}

/** The gates with zeros for what goes: where a group cannot be cut out, it is off all the same. */
function keptGates(gates: ReadonlyMap<string, Float64Array>, kept: KeptGroups): Map<string, Float64Array> {
  return new Map(
    [...gates].map(([name, values]) => {
      const groups = kept.get(name);
      return [name, groups ? values.map((value, group) => (groups.includes(group) ? value : 0)) : values];
    }),
  );
}

function sizeOf(part: GatedPart, dims: Readonly<Record<string, number>>) {
  const { parameters, macs } = countCosts(part.source.graph, dims);
  return { parameters, macs, bytes: part.source.sizeBytes };
}

/** Groups that stay, of all blocks from which something goes. */
function chooseKept(gates: HeadGates, options: PruneOptions): KeptGroups {
  const blocks = gates.blocks;
  const kept = options.kept
    ? givenGroups(blocks, options.kept)
    : options.keep === undefined
      ? new Map(blocks.map((block) => [block.name, openGroups(gates.table(block).of(block.name)!)]))
      : strongest(gates, options.keep, options);
  const aligned = alignNeurons(blocks, kept, options.align ?? 8);
  const shrinks = blocks.filter(({ name, groups }) => (aligned.get(name)?.length ?? groups) < groups);
  if (shrinks.length === 0) {
    throw new DgateError(
      "NO_MATCH",
      `prune: all ${blocks.length} blocks keep all their ${nouns[blocks[0]?.group ?? "heads"]}; call learn with a target, turn gates off, or give { keep: 0.5 }.`,
    );
  }
  return new Map(shrinks.map(({ name }) => [name, aligned.get(name)!]));
}

function givenGroups(
  blocks: readonly GatedBlock[],
  given: Readonly<Record<string, readonly number[]>>,
): KeptGroups {
  for (const [name, groups] of Object.entries(given)) {
    const block = blocks.find((each) => each.name === name);
    if (!block) {
      throw new DgateError(
        "GROUP",
        `prune: there is no block "${name}"; there are ${blocks
          .map((each) => each.name)
          .slice(0, 6)
          .join(", ")}.`,
      );
    }
    const bad = groups.find((group) => !(Number.isInteger(group) && group >= 0 && group < block.groups));
    if (bad !== undefined) {
      throw new DgateError(
        "GROUP",
        `prune: "${name}" has ${block.groups} groups (0 to ${block.groups - 1}), not ${bad}.`,
      );
    }
  }
  return new Map(
    Object.entries(given).map(([name, groups]) => [name, [...new Set(groups)].sort((a, b) => a - b)]),
  );
}

/** The strongest groups of each kind. */
function strongest(
  gates: HeadGates,
  keep: number,
  { scores, even, minimum, align = 8 }: PruneOptions,
): KeptGroups {
  if (!(keep > 0 && keep <= 1)) {
    throw new DgateError(
      "OPTION",
      `prune: keep is the fraction that stays, above 0 and at most 1, got ${keep}.`,
    );
  }
  const kept = new Map<string, readonly number[]>();
  for (const table of [gates.heads, gates.ffn, gates.layers]) {
    const { blocks } = table;
    const own = scores ?? new Map(blocks.map(({ name }) => [name, table.of(name)!.map(Math.abs)]));
    const choice = chooseGroups(blocks, own, Math.round(keep * table.count), {
      even: even ?? blocks.some(({ cached }) => cached),
      ...(minimum !== undefined && { minimum }),
      align,
    });
    for (const [name, groups] of choice.kept) kept.set(name, groups);
  }
  return kept;
}

const openGroups = (values: Float64Array): number[] =>
  [...values.keys()].filter((group) => values[group] !== 0);

/** Closed neurons that stay after all, zeroed, so that the layer's width is a multiple the runtime likes. */
function alignNeurons(blocks: readonly GatedBlock[], kept: KeptGroups, align: number): KeptGroups {
  const result = new Map(kept);
  for (const { name, group, groups } of blocks) {
    const own = kept.get(name);
    if (group !== "ffn" || !own || own.length === 0 || own.length % align === 0) continue;
    const wanted = Math.min(groups, Math.ceil(own.length / align) * align);
    const set = new Set(own);
    for (let neuron = 0; neuron < groups && set.size < wanted; neuron++) set.add(neuron);
    result.set(
      name,
      [...set].sort((a, b) => a - b),
    );
  }
  return result;
}
