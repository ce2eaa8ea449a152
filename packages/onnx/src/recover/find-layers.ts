import { analyseCoupling, nodeName } from "../coupling/analyse.ts";
import type { Contraction } from "../coupling/axis-context.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { floatAttribute } from "../ops/attributes.ts";
import type { AxisCut } from "../prune/axis-cuts.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { normalise } from "../normal-form/normalise.ts";
import { type BiasPlace, sizesOf, type WeightedNode, weightAxes } from "./layer-weights.ts";
import { NormalEquations } from "./normal-equations.ts";

/** A layer of the pruned model that read removed channels and can be fitted anew. */
export interface Layer extends WeightedNode {
  readonly name: string;
  readonly weight: Value;
  /** The value of the pruned model that holds its inputs. */
  readonly input: Value;
  /** The value of the dense model that its outputs are fitted to. */
  readonly target: Value;
  /** Channels of `target`, and those that the pruned layer still gives (all where absent). */
  readonly channels: number;
  readonly kept: readonly number[] | undefined;
  /** Layers on the longest way from the model's inputs to this one: layers of one level do not see each other. */
  readonly level: number;
}

/** A layer that read removed channels and stays as it is. */
export interface SkippedLayer {
  readonly node: string;
  readonly reason: string;
}

/** Larger normal equations are not set up. */
const byteLimit = 2 ** 30;

const floats: readonly DataType[] = ["float32", "float64", "float16", "bfloat16"];

/** The layers whose weights lost input channels, in topological order. */
export function findLayers(
  dense: Graph,
  pruned: Graph,
  cuts: readonly AxisCut[],
): { layers: Layer[]; skipped: SkippedLayer[] } {
  // Branches of an If are part of the normal form only: their layers are seen, and named, but not fitted.
  const normal = normalise(pruned);
  const twins = new Map(pruned.nodes().map((node) => [node.outputs[0]?.name, node]));
  const found: Omit<Layer, "level">[] = [];
  const skipped: SkippedLayer[] = [];
  for (const contraction of analyseCoupling(normal).contractions) {
    const operand = cutOperand(normal, contraction, cuts);
    if (operand === undefined) continue;
    const node = twins.get(contraction.node.outputs[0]?.name);
    const layer = node
      ? describeLayer(dense, pruned, { node, operand }, cuts)
      : "it is part of a branch of an If";
    if (typeof layer === "string") skipped.push({ node: nodeName(contraction.node), reason: layer });
    else found.push(layer);
  }
  const levels = levelsOf(pruned, new Set(found.map(({ node }) => node)));
  return { layers: found.map((layer) => ({ ...layer, level: levels.get(layer.node) ?? 0 })), skipped };
}

/**
 * The operand of a sum over channels whose constant lost some of them. An unpacked constant (dequantized, transposed) counts
 * with any of its axes.
 */
function cutOperand(
  graph: Graph,
  { node, left, right }: Contraction,
  cuts: readonly AxisCut[],
): number | undefined {
  return [right, left].find(({ input, axis }) => {
    const operand = node.inputs[input];
    const source = operand && constantSource(graph, operand);
    return cuts.some((cut) => cut.tensor === source?.name && (source !== operand || cut.axis === axis));
  })?.input;
}

/** Operators that unpack a constant. */
const unpacking = new Set([
  "DequantizeLinear",
  "Cast",
  "Identity",
  "Reshape",
  "Flatten",
  "Squeeze",
  "Unsqueeze",
  "Transpose",
]);

/** The constant that a weight is, or is unpacked from. */
function constantSource(graph: Graph, weight: Value): Value | undefined {
  let at = weight;
  while (!at.data) {
    const producer = graph.producer(at);
    const next = producer && unpacking.has(producer.op) ? producer.inputs[0] : undefined;
    if (!next) return undefined;
    at = next;
  }
  return at;
}

/** What to fit, or why not. */
function describeLayer(
  dense: Graph,
  pruned: Graph,
  { node, operand }: { readonly node: Node; readonly operand: number },
  cuts: readonly AxisCut[],
): Omit<Layer, "level"> | string {
  const reason = whyNot(pruned, node, operand);
  if (reason !== undefined) return reason;
  const weight = node.inputs[1]!;
  const bias = biasPlace(dense, pruned, node);
  if (typeof bias === "string") return bias;
  const end = bias.kind === "add" ? bias.add.outputs[0]! : node.outputs[0]!;
  const target = dense.value(end.name);
  if (!target || !givesSame(dense, target, node)) {
    return `the dense model computes no "${end.name}" by a ${node.op} of the same weight`;
  }
  const layer: WeightedNode = { node, bias };
  const { depth, outputs, groups } = sizesOf(layer);
  const bytes = groups * NormalEquations.bytes(depth + 1, outputs);
  if (bytes > byteLimit) {
    return `its normal equations take ${Math.ceil(bytes / 2 ** 20)} MiB, more than ${byteLimit / 2 ** 20}`;
  }
  const cut = cuts.find(({ tensor, axis }) => tensor === weight.name && axis === weightAxes(node).output);
  return {
    ...layer,
    name: nodeName(node),
    weight,
    input: node.inputs[0]!,
    target,
    channels: cut?.size ?? groups * outputs,
    kept: cut?.kept,
  };
}

function whyNot(graph: Graph, node: Node, weightInput: number): string | undefined {
  const operand = node.inputs[weightInput]!;
  const dtype = constantSource(graph, operand)?.data?.dtype;
  if (dtype && !floats.includes(dtype)) {
    return `its weight is quantized (${dtype}); dequantize the model, recover it, and quantize it again`;
  }
  if (node.domain !== "" || !["Gemm", "MatMul", "Conv"].includes(node.op)) {
    return `${describeNode(node)} is none of Gemm, MatMul and Conv`;
  }
  if (!operand.data) return `its weight "${operand.name}" is computed`;
  if (weightInput !== 1 || (node.op === "MatMul" && operand.data.shape.length !== 2)) {
    return `its weight "${operand.name}" is not one matrix on the right`;
  }
  if (!fixedData(graph, operand)) return `a caller may feed its weight "${operand.name}"`;
  if (graph.uses(operand).length > 1) return `its weight "${operand.name}" is tied to that of other nodes`;
  if (node.op === "Gemm" && floatAttribute(node, "alpha", 1) === 0) return "its α is 0";
  return undefined;
}

/** Where the bias is; a text if it is none that can be fitted. */
function biasPlace(dense: Graph, pruned: Graph, node: Node): BiasPlace | string {
  const channels = node.inputs[1]!.data!.shape[weightAxes(node).output]!;
  const own = node.op === "MatMul" ? undefined : node.inputs[2];
  if (own) {
    const data = fixedData(pruned, own);
    const count = data?.shape.reduce((a, b) => a * b, 1);
    const plain = data && (count === 1 || (count === channels && data.shape.at(-1) === channels));
    return plain ? { kind: "own" } : `its bias "${own.name}" is computed, or differs from row to row`;
  }
  const add = followingAdd(pruned, node);
  if (!add || !sameAdd(dense, add, node)) return node.op === "MatMul" ? { kind: "none" } : { kind: "own" };
  const data = fixedData(pruned, add.node.inputs[add.index]!);
  const spread = data && isPerChannel(data.shape, node.op === "Conv" ? rankOf(node) - 1 : 1, channels);
  if (spread) return { kind: "add", add: add.node, index: add.index };
  return node.op === "MatMul" ? { kind: "none" } : { kind: "own" };
}

const rankOf = (conv: Node): number => conv.inputs[1]!.data!.shape.length;

/** An Add as the only reader of a node; `index` is its other operand. */
function followingAdd(graph: Graph, node: Node): { readonly node: Node; readonly index: number } | undefined {
  const [use, second] = graph.uses(node.outputs[0]!);
  const reader = use?.node;
  if (!reader || second || use.index < 0 || reader.op !== "Add" || reader.domain !== "") return undefined;
  return { node: reader, index: 1 - use.index };
}

/** A constant with one element, or one per channel at the channel axis and 1 everywhere else. */
function isPerChannel(shape: readonly number[], fromEnd: number, channels: number): boolean {
  const axis = shape.length - fromEnd;
  const single = shape.every((size) => size === 1);
  return single || shape.every((size, i) => size === (i === axis ? channels : 1));
}

/**
 * Whether an Add of the pruned model adds the bias in the dense one too: pruning may have put it there for what removed channels
 * emit (the dense layer itself then writes its output), or have put a constant in the place of a dead branch (it then did
 * not add a constant before).
 */
function sameAdd(dense: Graph, add: { readonly node: Node; readonly index: number }, node: Node): boolean {
  const twin = dense.value(add.node.outputs[0]!.name);
  const producer = twin && dense.producer(twin);
  if (!producer) return false;
  if (isTwin(producer, node)) return true;
  const [left, right] = [producer.inputs[1 - add.index], producer.inputs[add.index]];
  const layer = left && dense.producer(left);
  return (
    producer.op === "Add" &&
    layer !== undefined &&
    isTwin(layer, node) &&
    right !== undefined &&
    fixedData(dense, right) !== undefined
  );
}

/** The dense model's node for a node of the pruned one: same operator, weight of the same name. */
function isTwin(candidate: Node, node: Node): boolean {
  return (
    candidate.op === node.op &&
    candidate.domain === node.domain &&
    candidate.inputs[1]?.name === node.inputs[1]?.name
  );
}

/** Whether a value of the dense model is what the node's twin gives, with its bias. */
function givesSame(dense: Graph, target: Value, node: Node): boolean {
  const producer = dense.producer(target);
  if (!producer) return false;
  if (isTwin(producer, node)) return true;
  return producer.inputs.some((value) => {
    const layer = value && dense.producer(value);
    return producer.op === "Add" && layer !== undefined && isTwin(layer, node);
  });
}

/** For each layer, how many layers are on the longest way to it. */
function levelsOf(graph: Graph, layers: ReadonlySet<Node>): ReadonlyMap<Node, number> {
  const captured = new Map<Node, Value[]>();
  for (const value of graph.values) {
    for (const { node, index } of graph.uses(value))
      if (node && index < 0) captured.set(node, [...(captured.get(node) ?? []), value]);
  }
  const levels = new Map<Node, number>();
  const passed = new Map<Value, number>();
  for (const node of graph.sorted()) {
    const read = [...node.inputs, ...(captured.get(node) ?? [])];
    const level = Math.max(0, ...read.map((value) => (value && passed.get(value)) ?? 0));
    levels.set(node, level);
    for (const value of node.outputs) if (value) passed.set(value, layers.has(node) ? level + 1 : level);
  }
  return levels;
}
