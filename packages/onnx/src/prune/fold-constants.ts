import { type Coupling, keptIndices, nodeName, type Removal } from "../coupling/analyse.ts";
import type { Contraction } from "../coupling/axis-context.ts";
import { Space } from "../coupling/space.ts";
import { float } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { floatAttribute } from "../ops/attributes.ts";
import { type DenseWeights, denseWeights, outputsOf, outputValue } from "../constants/dense-weights.ts";
import { insertAfter } from "./insert-after.ts";
import { biasInput, biasOf, isGemm } from "../constants/layer-bias.ts";
import { dataChannels } from "./sink.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { SliceContext, type SliceSource } from "../constants/slice-context.ts";

/**
 * Adds what removed channels still emit to the biases of the layers that read them:
 *
 *     b′_j = b_j + Σ_{k removed} c_k · Σ_taps W[k → j]
 *
 * in float64, rounded to the weights' type. A missing bias is created. Returns the number of biases changed.
 */
export function foldRemovedConstants(constants: SliceSource, removal: Removal): number {
  let edits = 0;
  for (const contraction of constants.coupling.contractions) {
    const delta = removedSum(contraction, constants, removal);
    if (!delta) continue;
    addToBias(constants, contraction.node, delta);
    edits += 1;
  }
  return edits;
}

/** Where the constants that a layer's removed channels emit go: a list of one number per output channel. */
export interface Fold {
  /** Takes the list: the layer itself (as its bias), the bias Add after it, or `undefined`: an Add is made. */
  readonly taker: { readonly node: Node; readonly input: number } | undefined;
  /** The layer. */
  readonly node: Node;
  readonly dtype: DataType;
  /** Output channels. */
  readonly space: Space;
}

/** What `foldRemovedConstants` would write, without writing it. */
export function plannedFolds(constants: SliceSource, removal: Removal): Fold[] {
  return constants.coupling.contractions.flatMap((contraction) => {
    const delta = removedSum(contraction, constants, removal);
    return delta ? [foldOf(constants, contraction.node, delta)] : [];
  });
}

function foldOf(constants: SliceSource, node: Node, { weights }: Delta): Fold {
  const { axesOf, inference } = constants.coupling;
  const output = node.outputs[0]!;
  const space = axesOf(outputValue(node, weights)!)![weights.outputAxis]!;
  if (ownBias(constants, node, weights)) {
    const { dtype } = inference.types.get(node.inputs[1]!)!;
    return { node, taker: { node, input: 2 }, dtype, space };
  }
  const { dtype } = inference.types.get(output)!;
  const following = followingBias(constants.coupling, output, weights);
  return { node, taker: following && { node: following.node, input: following.index }, dtype, space };
}

interface Delta {
  readonly weights: DenseWeights;
  /** What to add to each output channel; not all of them zero. */
  readonly sums: Float64Array;
}

function removedSum(
  { node, left, space, range }: Contraction,
  constants: SliceSource,
  removal: Removal,
): Delta | undefined {
  const kept = keptIndices(space, removal);
  if (!kept || range) return undefined;
  const context = new SliceContext(node, constants);
  const weights = denseWeights(context);
  const data = weights && context.slicesOf(left.input, left.axis);
  // What an uneven layer reads of removed channels is zero, or carried on by another channel.
  if (!weights || !data || weights.uneven !== undefined) return undefined;
  const stay = new Set(kept);
  const gone = Array.from({ length: space.size ?? 0 }, (_, k) => k).filter((k) => !stay.has(k));
  const sums = new Float64Array(weights.outputs);
  for (const k of dataChannels(gone, weights)) {
    const constant = data[k]!;
    // A channel that varies was allowed to go because nothing that stays reads it.
    if (constant === 0 || Number.isNaN(constant)) continue;
    const [from, to] = outputsOf(weights, k);
    for (let j = from; j < to; j++) sums[j]! += constant * weights.total(k, j);
  }
  return sums.some((sum) => sum !== 0) ? { weights, sums } : undefined;
}

/** The bias that a layer has as its own input (zeros where that is free); `undefined` if it cannot take one. */
function ownBias(constants: SliceSource, node: Node, { outputs }: DenseWeights): Float64Array | undefined {
  return biasInput(node) === 2 ? biasOf(new SliceContext(node, constants), outputs) : undefined;
}

function addToBias(constants: SliceSource, node: Node, delta: Delta): void {
  const { weights, sums } = delta;
  const { coupling } = constants;
  const space = coupling.axesOf(outputValue(node, weights)!)![weights.outputAxis]!;
  const dtype = coupling.inference.types.get(node.inputs[1]!)!.dtype;
  const bias = ownBias(constants, node, weights);
  if (!bias) return addAfter(coupling, node, delta, space);
  const folded = tensorOf(
    dtype,
    [sums.length],
    bias.map((number, j) => number + sums[j]!),
  );
  const value = coupling.graph.addInitializer(biasName(coupling.graph, node), folded);
  coupling.assign(value, [space]);
  coupling.graph.setInput(node, 2, value);
  // The product with β is in the new bias already.
  if (isGemm(node) && floatAttribute(node, "beta", 1) !== 1)
    coupling.graph.setAttribute(node, "beta", float(1));
}

/** The old bias keeps its name if nobody else uses it. */
function biasName(graph: Graph, node: Node): string {
  const old = node.inputs[2];
  if (!old) return graph.freshName(`${nodeName(node)}.bias`);
  const { name } = old;
  if (graph.uses(old).length > 1 || graph.producer(old)) return graph.freshName(name);
  graph.setInput(node, 2, undefined);
  graph.removeInitializer(old);
  return name;
}

/** Adds to the bias Add that follows, or puts one there. */
function addAfter(coupling: Coupling, node: Node, { weights, sums }: Delta, space: Space): void {
  const { graph, inference } = coupling;
  const output = node.outputs[0]!;
  const { dtype } = inference.types.get(output)!;
  const following = followingBias(coupling, output, weights);
  const behind = axesBehind(coupling, output, weights);
  const add = (name: string, numbers: Float64Array): Value => {
    const shape = [numbers.length, ...behind.map(() => 1)];
    const value = graph.addInitializer(graph.freshName(name), tensorOf(dtype, shape, numbers));
    coupling.assign(value, [space, ...behind]);
    return value;
  };
  if (!following) {
    const bias = add(`${nodeName(node)}.bias`, sums);
    insertAfter(
      coupling,
      output,
      { op: "Add", name: `${nodeName(node)}.add_bias`, before: "unbiased" },
      bias,
    );
    return;
  }
  const { node: taker, index, data } = following;
  const old = readNumbers(data);
  const before = taker.inputs[index]!;
  const { name } = before;
  graph.setInput(taker, index, undefined);
  if (graph.uses(before).length === 0) graph.removeInitializer(before);
  const folded = sums.map((sum, j) => sum + old[old.length === 1 ? 0 : j]!);
  graph.setInput(taker, index, add(name, folded));
}

/** Axes of size one for those that a layer's output has behind its channels: the positions of a Conv. */
function axesBehind({ inference }: Coupling, output: Value, { outputAxis }: DenseWeights): Space[] {
  const rank = inference.types.get(output)?.shape?.length ?? outputAxis + 1;
  return Array.from({ length: Math.max(0, rank - 1 - outputAxis) }, () => new Space(1));
}

/** `Add(y, constant)` as the only reader of `y`, with one number per channel or one for all. */
function followingBias(coupling: Coupling, output: Value, weights: DenseWeights) {
  const { graph } = coupling;
  const [use, second] = graph.uses(output);
  const add = use?.node;
  if (!add || second || add.op !== "Add" || add.domain !== "" || use.index < 0) return undefined;
  const index = 1 - use.index;
  const bias = add.inputs[index];
  const data = bias && fixedData(graph, bias);
  const length = data?.shape.reduce((a, b) => a * b, 1);
  const channels = -1 - axesBehind(coupling, output, weights).length;
  const fits =
    data && (length === 1 || (length === weights.outputs && data.shape.at(channels) === weights.outputs));
  return fits ? { node: add, index, data } : undefined;
}
