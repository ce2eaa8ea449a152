import { indicesOf, occurrences } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import type { DenseWeights } from "../constants/dense-weights.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { dataChannels, type Sink } from "./sink.ts";
import type { SliceConstants, SliceSource } from "../constants/slice-context.ts";

/**
 * Where zero padding makes a constant channel add less at the border, no bias can stand for it, but another constant channel
 * of the same layer can: it sees the same border. With constants c_k of the removed channels and c of the one that stays,
 *
 *     W′[j, tap] = W[j, tap] + Σ_k (c_k / c) · W_k[j, tap]
 *
 * is exact, so that of all dead channels only one has to stay.
 */
export interface Carried {
  readonly sink: Sink;
  /** Channels of the contraction that go, and for each the channel that carries its constant on. */
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** A channel that stays for others. */
export interface Carrier {
  readonly index: number;
  /** The indices that may go because of it. */
  readonly removed: readonly number[];
  readonly carried: readonly Carried[];
}

/**
 * Chooses the index of a leaf whose constants can stand for the most others.
 *
 * @param held indices that only uneven constants hold back, with the sinks that do
 */
export function chooseCarrier(leaf: Space, held: ReadonlyMap<number, readonly Sink[]>): Carrier | undefined {
  if (held.size < 2) return undefined;
  const sinks = [...new Set([...held.values()].flat())];
  if (!sinks.every(isEditable)) return undefined;
  const [index] = [...held.keys()]
    .map((each) => [each, strengthOf(leaf, each, sinks)] as const)
    .reduce((best, each) => (isStronger(each[1], best[1]) ? each : best));
  const removed = [...held.keys()].filter(
    (each) => each !== index && held.get(each)!.every((sink) => canCarry(sink, leaf, each, index)),
  );
  if (removed.length === 0) return undefined;
  const carried = sinks.map((sink) => ({
    sink,
    from: removed.flatMap((each) => channelsOf(sink, leaf, each)),
    to: removed.flatMap(() => channelsOf(sink, leaf, index)),
  }));
  return { index, removed, carried };
}

const convolutions = new Set(["Conv", "ConvTranspose", "com.microsoft.FusedConv"]);

/** Weights of float numbers that are an initializer as they are, and data that is not rounded to a few steps. */
function isEditable({ contraction: { node }, weights }: Sink): boolean {
  const value = node.inputs[1];
  const float = value?.data?.dtype === "float32" || value?.data?.dtype === "float64";
  const name = node.domain === "" ? node.op : `${node.domain}.${node.op}`;
  return weights !== undefined && !weights.rounds && float && convolutions.has(name);
}

const channelsOf = ({ contraction }: Sink, leaf: Space, index: number): number[] =>
  occurrences(contraction.space, leaf).flatMap((place) => indicesOf(place, index));

const isCarrier = (constant: number | undefined): boolean =>
  constant !== undefined && Number.isFinite(constant) && constant !== 0;

/** In how many places an index has a constant that can stand for another, and the smallest of them. */
function strengthOf(leaf: Space, index: number, sinks: readonly Sink[]): readonly [number, number] {
  const constants = sinks.flatMap((sink) =>
    dataChannels(channelsOf(sink, leaf, index), sink.weights!).map((k) => sink.data?.[k]),
  );
  const fit = constants.filter(isCarrier).map((constant) => Math.abs(constant!));
  return [fit.length, Math.min(...fit)];
}

const isStronger = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);

function canCarry(sink: Sink, leaf: Space, from: number, to: number): boolean {
  const { data, weights } = sink;
  const channels = (index: number): number[] => dataChannels(channelsOf(sink, leaf, index), weights!);
  const carriers = channels(to);
  // A channel that varies goes because nothing that stays reads it.
  return channels(from).every(
    (k, i) => data?.[k] === 0 || Number.isNaN(data?.[k]) || isCarrier(data?.[carriers[i]!]),
  );
}

/** Adds the weights of removed channels to those of their carriers, in float64. Returns the number of layers changed. */
export function carryConstants({ coupling }: SliceSource, carried: readonly Carried[]): number {
  const { graph } = coupling;
  for (const { sink, from, to } of carried) {
    const { node } = sink.contraction;
    const old = node.inputs[1]!;
    const { dtype, shape } = fixedData(graph, old)!;
    const numbers = Float64Array.from(readNumbers(old.data!));
    const taps = shape.slice(2).reduce((a, b) => a * b, 1);
    const slices = weightSlices(node.op === "ConvTranspose", sink.weights!, taps);
    from.forEach((channel, i) => addSlices(numbers, slices, sink, [channel, to[i]!], taps));
    const data = tensorOf(dtype, shape, numbers);
    if (graph.uses(old).length === 1) graph.setData(old, data);
    else {
      const own = graph.addInitializer(graph.freshName(old.name), data);
      coupling.assign(own, coupling.axesOf(old)!);
      graph.setInput(node, 1, own);
    }
  }
  return carried.length;
}

/** Where the taps from channel `c` of group `g` to output `j` of the group start. */
type WeightSlices = (g: number, c: number, j: number) => number;

function weightSlices(transposed: boolean, weights: DenseWeights, taps: number): WeightSlices {
  const inputs = weights.inputs / weights.groups;
  const outputs = weights.outputs / weights.groups;
  return transposed
    ? (g, c, j) => ((g * inputs + c) * outputs + j) * taps
    : (g, c, j) => ((g * outputs + j) * inputs + c) * taps;
}

function addSlices(
  numbers: Float64Array,
  slices: WeightSlices,
  { weights, data }: Sink,
  [from, to]: readonly [number, number],
  taps: number,
): void {
  const { groups, inputs, outputs } = weights!;
  for (let g = 0; g < groups; g++) {
    const constant = constantOf(data, (g * inputs) / groups + from);
    const carrier = constantOf(data, (g * inputs) / groups + to);
    if (constant === 0 || carrier === 0) continue;
    for (let j = 0; j < outputs / groups; j++) {
      const [source, target] = [slices(g, from, j), slices(g, to, j)];
      for (let tap = 0; tap < taps; tap++)
        numbers[target + tap]! += (constant / carrier) * numbers[source + tap]!;
    }
  }
}

/** Zero for what varies: see `canCarry`. */
const constantOf = (data: SliceConstants | undefined, k: number): number => {
  const constant = data?.[k] ?? Number.NaN;
  return Number.isFinite(constant) ? constant : 0;
};
