import { type PlannedAxis, type PrunePlan } from "@dgate/core";
import { indicesOf, keptIndices, occurrences, type Removal, whyBlocked } from "../coupling/analyse.ts";
import type { Contraction } from "../coupling/axis-context.ts";
import type { Space } from "../coupling/space.ts";
import { describeNode } from "../graph/graph.ts";
import { type Carried, chooseCarrier } from "./carry-constants.ts";
import { type DenseWeights, denseWeights, outputsOf, outputValue } from "../constants/dense-weights.ts";
import { dataChannels, type Sink } from "./sink.ts";
import { deadIndices } from "./mask.ts";
import { SliceContext, type SliceSource } from "../constants/slice-context.ts";

/** Groups of a planned axis that stay although the plan lets them go. */
export interface KeptBack {
  readonly site: string;
  readonly groups: readonly number[];
  readonly reason: string;
}

/** What goes, and why the rest of the plan does not. */
export interface Decision {
  readonly removal: Removal;
  readonly keptBack: readonly KeptBack[];
  /** Constants of removed channels that other channels carry on. */
  readonly carried: readonly Carried[];
}

/**
 * Decides which channels of a masked graph can go without changing its outputs. A planned index may go if it is a whole
 * index of a channel space that nothing blocks, and if wherever the channel is summed up it counts nothing (zero weights) or
 * is a constant that can be added to a bias or be carried on by another constant channel.
 */
export function decideRemoval(plan: PrunePlan, constants: SliceSource): Decision {
  const candidates = new Map<Space, Set<number>>();
  const reasons = new Map<Space, Map<number, string>>();
  for (const planned of plan.axes) addCandidates(planned, constants, candidates);
  for (const [leaf, indices] of candidates) keepOne(leaf, indices, reasons);
  const sinks = constants.coupling.contractions
    .filter((contraction) => summedLeaves(contraction).some((leaf) => candidates.has(leaf)))
    .map((contraction) => sinkOf(contraction, constants));
  refuseReduced(candidates, constants, reasons);
  const survey: Survey = { candidates, reasons, sinks, removal: new Map(), constants };
  const carried: Carried[] = [];
  // What only uneven constants hold back is looked at when nothing else can go.
  while (removeFree(survey) || carryUneven(survey, carried)) continue;
  const { removal } = survey;
  return {
    removal,
    keptBack: plan.axes.flatMap((planned) => keptBack(planned, constants, removal, reasons)),
    carried,
  };
}

/** What is still to be decided, and what is. */
interface Survey {
  readonly candidates: ReadonlyMap<Space, Set<number>>;
  readonly reasons: Map<Space, Map<number, string>>;
  readonly sinks: readonly Sink[];
  readonly removal: Map<Space, Set<number>>;
  readonly constants: SliceSource;
}

/** The sinks of a leaf, with the outputs of theirs that are gone. */
function sinksOf({ sinks, removal, constants }: Survey, leaf: Space) {
  return sinks
    .filter(({ contraction }) => summedLeaves(contraction).includes(leaf))
    .map((sink) => ({ sink, gone: goneOutputs(sink, removal, constants) }));
}

function remove({ candidates, removal }: Survey, leaf: Space, index: number): void {
  candidates.get(leaf)!.delete(index);
  removal.set(leaf, (removal.get(leaf) ?? new Set()).add(index));
}

/** Removes the candidates to which no sink objects; whether there were any. */
function removeFree(survey: Survey): boolean {
  let grown = false;
  for (const [leaf, indices] of survey.candidates) {
    const own = sinksOf(survey, leaf);
    for (const index of indices) {
      const found = own.map(({ sink, gone }) => objection(sink, leaf, index, gone)).find((each) => each);
      if (found) note(survey.reasons, leaf, index, found.reason);
      else {
        remove(survey, leaf, index);
        grown = true;
      }
    }
  }
  return grown;
}

/** Lets one index of each leaf carry the constants of the others; whether anything could go. */
function carryUneven(survey: Survey, carried: Carried[]): boolean {
  let grown = false;
  for (const [leaf, indices] of survey.candidates) {
    const own = sinksOf(survey, leaf);
    const held = new Map<number, Sink[]>();
    for (const index of indices) {
      const found = own.flatMap(({ sink, gone }) => {
        const each = objection(sink, leaf, index, gone);
        return each ? [{ ...each, sink }] : [];
      });
      if (found.every(({ uneven }) => uneven))
        held.set(
          index,
          found.map(({ sink }) => sink),
        );
    }
    const carrier = chooseCarrier(leaf, held);
    if (!carrier) continue;
    carried.push(...carrier.carried);
    for (const index of carrier.removed) remove(survey, leaf, index);
    indices.delete(carrier.index);
    const why = carrier.carried.map(({ sink }) => sink.weights?.uneven).find((text) => text);
    const count = carrier.removed.length;
    note(
      survey.reasons,
      leaf,
      carrier.index,
      `it carries the constants of ${count} channels that went: ${why}`,
    );
    grown = true;
  }
  return grown;
}

function addCandidates(
  planned: PlannedAxis,
  constants: SliceSource,
  candidates: Map<Space, Set<number>>,
): void {
  const axis = axisOf(planned, constants);
  if (!axis) return;
  const dead = new Set(deadIndices(planned));
  for (const leaf of axis.leaves()) {
    if (whyBlocked(leaf) !== undefined) continue;
    const found = candidates.get(leaf) ?? new Set<number>();
    for (const index of wholeIndices(axis, leaf, dead)) found.add(index);
    if (found.size > 0) candidates.set(leaf, found);
  }
}

/** Indices of a leaf all of whose places in the axis are dead. */
function wholeIndices(axis: Space, leaf: Space, dead: ReadonlySet<number>): number[] {
  const places = occurrences(axis, leaf);
  return Array.from({ length: leaf.size ?? 0 }, (_, index) => index).filter((index) =>
    places.every((place) => indicesOf(place, index).every((at) => dead.has(at))),
  );
}

/** The space of a planned axis; `undefined` if the tensor is gone with a dead branch. */
function axisOf({ tensor, axis }: PlannedAxis, { coupling }: SliceSource): Space | undefined {
  const value = coupling.graph.value(tensor);
  return value && coupling.axesOf(value)?.[axis];
}

/** No runtime takes an axis of size 0 everywhere: the first index of a space stays if all could go. */
function keepOne(leaf: Space, indices: Set<number>, reasons: Map<Space, Map<number, string>>): void {
  if (indices.size < (leaf.size ?? 0)) return;
  indices.delete(0);
  note(reasons, leaf, 0, "one channel has to stay");
}

function note(reasons: Map<Space, Map<number, string>>, leaf: Space, index: number, reason: string): void {
  const known = reasons.get(leaf) ?? new Map<number, string>();
  reasons.set(leaf, known.set(index, reason));
}

/** A channel that a norm or mean adds up may go only if it is zero there. */
function refuseReduced(
  candidates: Map<Space, Set<number>>,
  constants: SliceSource,
  reasons: Map<Space, Map<number, string>>,
): void {
  for (const { node, axis, space } of constants.coupling.reductions) {
    const slices = node.inputs[0] && constants.of(node.inputs[0], axis);
    for (const leaf of space.leaves()) {
      const indices = candidates.get(leaf) ?? new Set<number>();
      for (const index of indices) {
        const places = occurrences(space, leaf).flatMap((place) => indicesOf(place, index));
        if (places.every((at) => slices?.[at] === 0)) continue;
        indices.delete(index);
        note(reasons, leaf, index, `${describeNode(node)} adds it up, and it is not zero there`);
      }
    }
  }
}

/** Leaves that a contraction sums over. */
const summedLeaves = ({ space, over = space }: Contraction): Space[] => over.leaves();

function sinkOf(contraction: Contraction, constants: SliceSource): Sink {
  const { node, left, right } = contraction;
  const context = new SliceContext(node, constants);
  const weights = contraction.range ? undefined : denseWeights(context);
  return {
    contraction,
    weights,
    data: context.slicesOf(left.input, left.axis),
    other: weights ? undefined : context.slicesOf(right.input, right.axis),
  };
}

/** Output channels of a sink that are removed themselves: what is added to them does not matter. */
function goneOutputs(
  { contraction, weights }: Sink,
  removal: Removal,
  { coupling }: SliceSource,
): ReadonlySet<number> {
  const output = weights && outputValue(contraction.node, weights);
  const axis = weights && output && coupling.axesOf(output)?.[weights.outputAxis];
  const kept = axis && keptIndices(axis, removal);
  if (!weights || !kept) return new Set();
  const stay = new Set(kept);
  return new Set(Array.from({ length: weights.outputs }, (_, j) => j).filter((j) => !stay.has(j)));
}

/** Why an index cannot go. */
interface Objection {
  readonly reason: string;
  /** Whether it is only that the channel's constant does not add the same everywhere. */
  readonly uneven: boolean;
}

/** Why index `index` of a leaf cannot go as far as this sink is concerned; `undefined` if it can. */
function objection(sink: Sink, leaf: Space, index: number, gone: ReadonlySet<number>): Objection | undefined {
  const { contraction, weights, data, other } = sink;
  const channels = occurrences(contraction.space, leaf).flatMap((place) => indicesOf(place, index));
  if (!weights) {
    const counts = channels.some((k) => data?.[k] !== 0 && other?.[k] !== 0);
    const reason = contraction.range
      ? `${describeNode(contraction.node)} takes its range from it, and it is not zero there`
      : `${describeNode(contraction.node)} still reads it, and neither of its operands is zero there`;
    return counts ? { reason, uneven: false } : undefined;
  }
  let found: Objection | undefined;
  for (const k of dataChannels(channels, weights)) {
    const constant = data?.[k] ?? Number.NaN;
    if (constant === 0 || !reaches(weights, k, gone)) continue;
    if (Number.isNaN(constant)) {
      const why = weights.rounds
        ? "it is not zero there"
        : "it is not constant there (another producer of the same channel is alive)";
      return { reason: `${describeNode(contraction.node)} still reads it, and ${why}`, uneven: false };
    }
    if (weights.uneven === undefined) continue;
    const reason = `it emits the constant ${Number(constant.toPrecision(4))}, and ${weights.uneven}`;
    found ??= { reason, uneven: true };
  }
  return found;
}

function reaches(weights: DenseWeights, k: number, gone: ReadonlySet<number>): boolean {
  const [from, to] = outputsOf(weights, k);
  for (let j = from; j < to; j++) if (!gone.has(j) && weights.connected(k, j)) return true;
  return false;
}

/** The planned groups of an axis that did not go, by reason. */
function keptBack(
  planned: PlannedAxis,
  constants: SliceSource,
  removal: Removal,
  reasons: Map<Space, Map<number, string>>,
): KeptBack[] {
  const axis = axisOf(planned, constants);
  if (!axis) return [];
  const kept =
    keptIndices(axis, removal) ?? Array.from({ length: planned.size * planned.blockSize }, (_, i) => i);
  const stays = new Set(kept.map((index) => Math.floor(index / planned.blockSize)));
  const wanted = new Set(planned.kept);
  const byReason = new Map<string, number[]>();
  for (const group of stays) {
    if (wanted.has(group)) continue;
    const reason = reasonOf(axis, group * planned.blockSize, reasons);
    byReason.set(reason, [...(byReason.get(reason) ?? []), group]);
  }
  return [...byReason].map(([reason, groups]) => ({ site: planned.site, groups, reason }));
}

/** Why the index `at` of an axis stays. */
function reasonOf(axis: Space, at: number, reasons: Map<Space, Map<number, string>>): string {
  const leaves = axis.leaves();
  for (const leaf of leaves) {
    for (const [index, reason] of reasons.get(leaf) ?? []) {
      if (occurrences(axis, leaf).some((place) => indicesOf(place, index).includes(at))) return reason;
    }
  }
  const blocked = leaves.map(whyBlocked).find((reason) => reason !== undefined);
  if (leaves.length === 1 && blocked !== undefined) return blocked;
  const tied = "it can only go together with other indices of its axis, which the plan keeps";
  return blocked === undefined ? tied : `${tied} (${blocked})`;
}
