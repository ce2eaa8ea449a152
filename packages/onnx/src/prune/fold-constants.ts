import { type Coupling, keptIndices, nodeName, type Removal } from "../coupling/analyse.ts";
import type { Contraction } from "../coupling/axis-context.ts";
import type { Space } from "../coupling/space.ts";
import { float } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { floatAttribute } from "../ops/attributes.ts";
import { biasInput, biasOf, isGemm } from "./contraction-constants.ts";
import { type DenseWeights, denseWeights, outputsOf, outputValue } from "./dense-weights.ts";
import { freshNodeName } from "./fresh-node-name.ts";
import { dataChannels } from "./sink.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { SliceContext, type SliceSource } from "./slice-context.ts";

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

function foldOf(constants: SliceSource, node: Node, { weights, sums }: Delta): Fold {
  const { axesOf, graph, inference } = constants.coupling;
  const output = node.outputs[0]!;
  const space = axesOf(outputValue(node, weights)!)![weights.outputAxis]!;
  if (ownBias(constants, node, weights)) {
    const { dtype } = inference.types.get(node.inputs[1]!)!;
    return { node, taker: { node, input: 2 }, dtype, space };
  }
  const { dtype } = inference.types.get(output)!;
  const following = followingBias(graph, output, sums.length);
  return { node, taker: following && { node: following.add, input: following.index }, dtype, space };
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

function addToBias(constants: SliceSource, node: Node, { weights, sums }: Delta): void {
  const { coupling } = constants;
  const space = coupling.axesOf(outputValue(node, weights)!)![weights.outputAxis]!;
  const dtype = coupling.inference.types.get(node.inputs[1]!)!.dtype;
  const bias = ownBias(constants, node, weights);
  if (!bias) return addAfter(coupling, node, sums, space);
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
function addAfter(coupling: Coupling, node: Node, sums: Float64Array, space: Space): void {
  const { graph, inference } = coupling;
  const output = node.outputs[0]!;
  const { dtype } = inference.types.get(output)!;
  const following = followingBias(graph, output, sums.length);
  if (following) {
    const { add, index, data } = following;
    const old = readNumbers(data);
    const folded = tensorOf(
      dtype,
      [sums.length],
      sums.map((sum, j) => sum + old[old.length === 1 ? 0 : j]!),
    );
    const before = add.inputs[index]!;
    const { name } = before;
    graph.setInput(add, index, undefined);
    if (graph.uses(before).length === 0) graph.removeInitializer(before);
    const value = graph.addInitializer(graph.freshName(name), folded);
    coupling.assign(value, [space]);
    return graph.setInput(add, index, value);
  }
  const value = graph.addInitializer(
    graph.freshName(`${nodeName(node)}.bias`),
    tensorOf(dtype, [sums.length], sums),
  );
  coupling.assign(value, [space]);
  insertAdd(coupling, node, value);
}

/** `Add(y, constant)` as the only reader of `y`. */
function followingBias(graph: Graph, output: Value, size: number) {
  const [use, second] = graph.uses(output);
  const add = use?.node;
  if (!add || second || add.op !== "Add" || add.domain !== "" || use.index < 0) return undefined;
  const index = 1 - use.index;
  const bias = add.inputs[index];
  const data = bias && fixedData(graph, bias);
  const length = data?.shape.reduce((a, b) => a * b, 1);
  const fits = data && (length === 1 || (length === size && data.shape.at(-1) === size));
  return fits ? { add, index, data } : undefined;
}

/** `y = node(…)` becomes `y = Add(node(…), bias)`; the name `y` stays with the sum, which may be a model output. */
function insertAdd(coupling: Coupling, node: Node, bias: Value): void {
  const { graph } = coupling;
  const output = node.outputs[0]!;
  const { name } = output;
  const axes = coupling.axesOf(output);
  const sum = graph.addValue(graph.freshName(`${name}_biased`), output.type);
  graph.replaceUses(output, sum);
  graph.addNode({
    op: "Add",
    name: freshNodeName(graph, `${nodeName(node)}.add_bias`),
    inputs: [output, bias],
    outputs: [sum],
  });
  graph.rename(output, graph.freshName(`${name}_unbiased`));
  graph.rename(sum, name);
  if (axes) coupling.assign(sum, axes);
}
