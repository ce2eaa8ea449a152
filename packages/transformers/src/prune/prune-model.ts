import { DgateError } from "@dgate/core";
import { countCosts, findSites, type Graph, mask, planFrom } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import type { GatedPart } from "../gates/gated-part.ts";
import type { GateTable } from "../gates/gate-table.ts";
import type { HeadGates } from "../head-gates.ts";
import { importanceOf } from "../importance/importance.ts";
import { checkKnown, type KnownOptions } from "../known-options.ts";
import { checkCount, chooseGroups, type KeptGroups, nouns, type Scores } from "./choose-groups.ts";
import { dimsOf } from "./dims.ts";
import { foldLive, keptSites, type PrunedPart, prunePart } from "./prune-part.ts";
import { PrunedTransformer, type PrunedFile } from "./pruned-transformer.ts";

/** Options of `HeadGates.prune`. Without `keep` and `kept`, what the gates have turned off goes. */
export interface PruneOptions {
  /** Fraction of the heads (and neurons, of a model that has gates for them) that stays, ranked over all layers. */
  readonly keep?: number;
  /** Groups that stay, by the name of the block; blocks that are not named stay whole. */
  readonly kept?: Readonly<Record<string, readonly number[]>>;
  /** With `keep`: what decides, scores from `importance`, by default the gates; while all of a kind are alike, the `l2` importance. */
  readonly scores?: Scores;
  /**
   * With `keep`: whether all layers keep the same number of heads. By default so in decoders with a key–value cache, which versions 2 and 3 of
   * transformers.js cannot run otherwise; version 4 can.
   */
  readonly even?: boolean;
  /** With `keep`: at least so many groups of a layer stay (default 1). With 0 a layer may lose all: its whole branch goes then, but for its bias. */
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
  checkPruneOptions(options);
  const kept = await chooseKept(gates, options);
  const files: PrunedFile[] = [];
  for (const part of parts) {
    const dims = dimsOf(part.graph, gates.internals.model.config, options.dims);
    const blocks = part.blocks.filter(({ name }) => kept.has(name));
    const before = sizeOf(part, dims);
    const source = gatedSource(part, keptGates(gates.gatesOf(part), kept));
    if (blocks.length === 0) {
      files.push({ part, graph: source, before, after: before, pruned: undefined, dims });
      continue;
    }
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

const known: KnownOptions<PruneOptions> = {
  keep: true,
  kept: true,
  scores: true,
  even: true,
  minimum: true,
  align: true,
  dims: true,
  signal: true,
};

/** What says how `keep` is met means nothing without it, and would be passed over. */
const ofKeep = ["scores", "even", "minimum"] as const satisfies (keyof PruneOptions)[];

function checkPruneOptions(options: PruneOptions): void {
  const { keep, kept, minimum = 1, align = 1 } = options;
  checkKnown("prune", options, known);
  const idle = keep === undefined ? ofKeep.find((name) => options[name] !== undefined) : undefined;
  if (idle !== undefined) {
    throw new DgateError(
      "OPTION",
      `prune: ${idle} says how keep is met, and keep is not given; give { keep: 0.5, ${idle}: … }, or leave ${idle} out.`,
    );
  }
  checkCount("minimum", minimum, 0);
  checkCount("align", align, 1);
  if (keep !== undefined && kept) {
    throw new DgateError("OPTION", "prune: keep and kept are both given; one of them says what stays.");
  }
  if (keep !== undefined && !(keep > 0 && keep <= 1)) {
    throw new DgateError(
      "OPTION",
      `prune: keep is the fraction that stays, above 0 and at most 1, got ${keep}.`,
    );
  }
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
      const own = groups && new Set(groups);
      return [name, own ? values.map((value, group) => (own.has(group) ? value : 0)) : values];
    }),
  );
}

/** A file with its gates in the weights. Codes take no fractions: of them what is off is zero. */
function gatedSource(part: GatedPart, gates: ReadonlyMap<string, Float64Array>): Graph {
  const changed = part.blocks.filter(({ name }) => gates.get(name)?.some((gate) => gate !== 1));
  const whole = part.quantized ? part.source.graph : part.graph;
  if (!part.live || changed.length === 0) return whole;
  if (!part.quantized) return foldLive(part.live, gates);
  const fraction = changed.find(({ name }) => gates.get(name)!.some((gate) => gate !== 0 && gate !== 1));
  if (fraction) {
    throw new DgateError(
      "UNSUPPORTED",
      `prune: ${part.source.path} holds integer codes, which take no gates but 0 and 1, and "${fraction.name}" has others; set them to 0 or 1, or open the float file: { dtype: "fp32" }.`,
    );
  }
  const sites = findSites(whole);
  // A plan leaves a group of each site: where none is on, two plans turn off what the other one leaves.
  return [0, 1].reduce((graph, spare) => {
    const open = changed.map((block) => {
      const on = openGroups(gates.get(block.name)!);
      return [block.name, on.length > 0 || block.group === "layers" ? on : [spare % block.groups]] as const;
    });
    const kept = keptSites(sites, changed, new Map(open));
    return mask(graph, planFrom(sites, { kept: Object.fromEntries(kept) }));
  }, whole);
}

function sizeOf(part: GatedPart, dims: Readonly<Record<string, number>>) {
  const { parameters, macs } = countCosts(part.source.graph, dims);
  return { parameters, macs, bytes: part.source.sizeBytes };
}

/** Groups that stay, of all blocks from which something goes. */
async function chooseKept(gates: HeadGates, options: PruneOptions): Promise<KeptGroups> {
  const blocks = gates.blocks;
  const kept = options.kept
    ? givenGroups(blocks, options.kept)
    : options.keep === undefined
      ? new Map(blocks.map((block) => [block.name, openGroups(gates.table(block).of(block.name)!)]))
      : await strongest(gates, options.keep, options);
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
async function strongest(
  gates: HeadGates,
  keep: number,
  { scores, even, minimum, align = 8 }: PruneOptions,
): Promise<KeptGroups> {
  const kept = new Map<string, readonly number[]>();
  for (const table of [gates.heads, gates.ffn, gates.layers]) {
    const { blocks } = table;
    const own = scores ?? (isUniform(table) ? await importanceOf(gates, "l2") : sizesOf(table));
    const choice = chooseGroups(blocks, own, Math.round(keep * table.count), {
      even: even ?? blocks.some(({ cached }) => cached),
      ...(minimum !== undefined && { minimum }),
      align,
    });
    for (const [name, groups] of choice.kept) kept.set(name, groups);
  }
  return kept;
}

const sizesOf = (table: GateTable): Scores =>
  new Map(table.blocks.map(({ name }) => [name, table.of(name)!.map(Math.abs)]));

/** Whether the gates tell nothing apart: nothing was learned, and none was set. */
function isUniform(table: GateTable): boolean {
  const sizes = [...sizesOf(table).values()].flatMap((values) => [...values]);
  return sizes.every((size) => size === sizes[0]);
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
