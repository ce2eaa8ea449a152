import { nodeName } from "../coupling/analyse.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { floatAttribute } from "../ops/attributes.ts";
import { freshNodeName } from "./fresh-node-name.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { isNumeric, type SliceConstants, type SliceSource } from "../constants/slice-context.ts";

/** The plain normalisation inside of a fused one, and which of its inputs are the shift and the bias of the sum. */
const forms: Readonly<
  Record<string, { readonly norm: string; readonly beta?: number; readonly bias: number }>
> = {
  SkipLayerNormalization: { norm: "LayerNormalization", beta: 3, bias: 4 },
  SkipSimplifiedLayerNormalization: { norm: "SimplifiedLayerNormalization", bias: 3 },
};

/** Epsilon that the fused operators take where they name none; the plain ones have another. */
const defaultEpsilon = 1e-12;

/**
 * Takes a branch that is one constant per channel out of a fused skip normalisation, which becomes the plain one:
 *
 *     Skip(x, branch, γ, β, b)  →  Norm(x + (branch + b), γ, β)        without the Add where branch + b is zero
 *
 * @returns whether it did
 */
export function dropSkipBranch(graph: Graph, node: Node, constants: SliceSource): boolean {
  const form = node.domain === "com.microsoft" ? forms[node.op] : undefined;
  const [output, , , sum] = node.outputs;
  if (!form || !output || [1, 2].some((i) => isUsed(graph, node.outputs[i]))) return false;
  // The running sum becomes another value, which a model's output cannot.
  if (sum && graph.uses(sum).some((use) => use.node === undefined || use.index < 0)) return false;
  const branch = [0, 1].find((index) => isConstantBranch(graph, node, index, constants));
  if (branch === undefined) return false;
  const shift = shiftOf(graph, node, branch, form.bias, constants);
  const stream = node.inputs[1 - branch]!;
  const whole = shift && addShift(graph, node, stream, shift);
  if (!whole) return false;
  const inputs = [whole, node.inputs[2], ...(form.beta === undefined ? [] : [node.inputs[form.beta]])];
  const made = graph.addNode({
    op: form.norm,
    name: freshNodeName(graph, `${nodeName(node)}.norm`),
    inputs,
    attributes: { axis: int(-1), epsilon: float(floatAttribute(node, "epsilon", defaultEpsilon)) },
  }).outputs[0]!;
  if (sum) graph.replaceUses(sum, whole);
  takePlace(graph, node, output, made);
  return true;
}

const isUsed = (graph: Graph, value: Value | undefined): boolean =>
  value !== undefined && graph.uses(value).length > 0;

/** Operand `index` is computed and constant per channel, and the other one has the full shape of the result. */
function isConstantBranch(graph: Graph, node: Node, index: number, constants: SliceSource): boolean {
  const { types } = constants.coupling.inference;
  const [value, other, output] = [node.inputs[index], node.inputs[1 - index], node.outputs[0]];
  if (!value || !other || !output || !graph.producer(value)) return false;
  const [full, own] = [types.get(output)?.shape, types.get(other)?.shape];
  if (!full || own?.length !== full.length || own.some((dim, i) => dim !== full[i])) return false;
  return channelsOf(value, constants) !== undefined;
}

/** The constants of all channels; `undefined` as soon as one varies. */
function channelsOf(value: Value, constants: SliceSource): SliceConstants | undefined {
  const rank = constants.coupling.inference.types.get(value)?.shape?.length ?? 0;
  const found = rank > 0 ? constants.of(value, rank - 1) : undefined;
  return found?.some((number) => Number.isNaN(number)) ? undefined : found;
}

/** What the branch and the bias add to each channel. */
function shiftOf(
  graph: Graph,
  node: Node,
  branch: number,
  biasInput: number,
  constants: SliceSource,
): Float64Array | undefined {
  const channels = channelsOf(node.inputs[branch]!, constants);
  const bias = node.inputs[biasInput];
  if (!channels || !bias) return channels;
  const data = fixedData(graph, bias);
  if (!data || !isNumeric(data)) return undefined;
  const numbers = readNumbers(data);
  return channels.map((channel, i) => channel + numbers[i]!);
}

/** `stream + shift`, or the stream itself. */
function addShift(graph: Graph, node: Node, stream: Value, shift: Float64Array): Value | undefined {
  if (shift.every((number) => number === 0)) return stream;
  const dtype = node.inputs[2]?.data?.dtype;
  if (!dtype) return undefined;
  const name = graph.freshName(`${nodeName(node)}.constant`);
  const constant = graph.addInitializer(name, tensorOf(dtype, [shift.length], shift));
  return graph.addNode({
    op: "Add",
    name: freshNodeName(graph, `${nodeName(node)}.add`),
    inputs: [stream, constant],
  }).outputs[0];
}

/** `made` stands for what the node wrote, under its name. */
function takePlace(graph: Graph, node: Node, output: Value, made: Value): void {
  const { name, type } = output;
  graph.replaceUses(output, made);
  graph.remove(node);
  graph.rename(made, name);
  made.type = type;
}
