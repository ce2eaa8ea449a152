import { type Coupling, nodeName, whyBlocked } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import { fixedData } from "../graph/fixed-data.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { NodeView } from "../infer/view.ts";
import { stringAttribute } from "../ops/attributes.ts";
import { isDequantizeLinear, isQuantizeLinear, quantizedForm } from "../ops/quantized-forms.ts";
import { mergeDomain } from "../ops/flat.ts";
import { einsumLabels } from "../ops/einsum.ts";
import { isRearranging, normalise } from "../normal-form/normalise.ts";
import { analyseCoupling } from "../coupling/analyse.ts";
import { coupledSlices } from "./coupled-slices.ts";
import { quantizedLayer } from "../quantization/quantized-layer.ts";
import { type FusedAttention, fusedAttentionOf } from "./fused-attention.ts";
import type { CoupledSlice } from "./site.ts";
import { uniqueName } from "./unique-name.ts";

/** A place where a model attends: `softmax(q·kᵀ)·v`, or an operator that does it. */
export interface AttentionLayer {
  /** The common part of its nodes' names, or the name of its Softmax. */
  readonly name: string;
  /** `MatMul`, `Einsum`, or the fused operator. */
  readonly form: string;
  /** Query heads. */
  readonly heads: number;
  /** Heads of keys and values: fewer than `heads` in grouped-query attention. */
  readonly kvHeads: number;
  /** Length of a query and a key; 0 where it is known at run time only. */
  readonly headDim: number;
  /** True, or why no head can be removed. */
  readonly prunable: true | string;
}

/** An attention layer with the channel spaces of its heads. */
export interface FoundAttention extends AttentionLayer {
  /** Leaves that number the key–value heads (with their queries). */
  readonly kvLeaves: readonly Space[];
  /** Leaves that number the queries of one key–value head. */
  readonly queryLeaves: readonly Space[];
  /** Leaves within a head. */
  readonly dimLeaves: readonly Space[];
  /** Weights that make the values. */
  readonly valueWeights: ReadonlySet<string>;
}

/**
 * The attention layers of a model, in the order of its nodes. The graph is not changed.
 *
 * @throws DgateError `FORMAT` for a cyclic graph
 */
export function findAttention(graph: Graph): AttentionLayer[] {
  const coupling = analyseCoupling(normalise(graph));
  return attentionOf(coupling, coupledSlices(coupling)).map(
    ({ name, form, heads, kvHeads, headDim, prunable }) => {
      return { name, form, heads, kvHeads, headDim, prunable };
    },
  );
}

/** As `findAttention`, for a graph that is analysed already. */
export function attentionOf(
  coupling: Coupling,
  slices: ReadonlyMap<Space, readonly CoupledSlice[]>,
): FoundAttention[] {
  const names = new Set<string>();
  const nextNames = new Map<string, number>();
  const found: FoundAttention[] = [];
  for (const node of coupling.nodes) {
    const parts = partsOf(coupling, node);
    const fused = parts ? undefined : fusedAttentionOf(node, coupling);
    if (!parts && !fused) continue;
    const layer = parts ? describe(coupling, parts, slices) : describeFused(coupling, fused!);
    const place = branchOf(coupling.graph, node);
    // The other branch of a merged decoder holds the same layer once more.
    if (place?.other && found.some((known) => sharesHeads(known, layer))) continue;
    const stem =
      place && layer.name.startsWith(place.prefix) ? layer.name.slice(place.prefix.length) : layer.name;
    const name = uniqueName(stem, names, nextNames);
    names.add(name);
    found.push({ ...layer, name });
  }
  return found;
}

/** The branch of an If that a node of a flat graph belongs to. */
function branchOf(graph: Graph, { name }: Node): { prefix: string; other: boolean } | undefined {
  for (const merge of graph.nodes("Merge", mergeDomain)) {
    for (const branch of ["then", "else"]) {
      const prefix = stringAttribute(merge, `${branch}_prefix`, "");
      if (name.startsWith(prefix)) return { prefix, other: branch === "else" };
    }
  }
  return undefined;
}

const sharesHeads = (a: FoundAttention, b: FoundAttention): boolean =>
  [...a.kvLeaves, ...a.queryLeaves].some((leaf) => b.kvLeaves.includes(leaf) || b.queryLeaves.includes(leaf));

/** Whether a softmax stands between two products of computed values. */
export function isAttending(graph: Graph, { inputs: [scores], outputs: [weights] }: Node): boolean {
  if (!scores || !weights) return false;
  return productBehind(graph, scores) !== undefined && productAfter(graph, weights) !== undefined;
}

/** The nodes of `context = softmax(scores)·value`. */
interface Parts {
  readonly scores: Node;
  readonly softmax: Node;
  readonly context: Node;
  readonly value: Value;
}

function partsOf({ graph }: Coupling, softmax: Node): Parts | undefined {
  if (quantizedForm(softmax)?.op !== "Softmax" && (softmax.op !== "Softmax" || softmax.domain !== ""))
    return undefined;
  const scores = softmax.inputs[0] && productBehind(graph, softmax.inputs[0]);
  const found = softmax.outputs[0] && productAfter(graph, softmax.outputs[0]);
  return scores && found ? { scores, softmax, ...found } : undefined;
}

/** What may stand between the products and the Softmax: scale, mask, bias, casts, guards, moves. */
const between = new Set([
  "Add",
  "Cast",
  "Clip",
  "DequantizeLinear",
  "Div",
  "Dropout",
  "Identity",
  "Max",
  "Mul",
  "QuantizeLinear",
  "Reshape",
  "Squeeze",
  "Sub",
  "Transpose",
  "Unsqueeze",
  "Where",
]);
const longestPath = 12;

/** Steps to the values that a search came by: one that is reached again, not sooner, leads nowhere new. */
type Steps = Map<Value, number>;

function isNew(seen: Steps, value: Value, steps: number): boolean {
  if (steps > longestPath || steps >= (seen.get(value) ?? Infinity)) return false;
  seen.set(value, steps);
  return true;
}

function productBehind(graph: Graph, value: Value, steps = 0, seen: Steps = new Map()): Node | undefined {
  const node = graph.producer(value);
  if (!node || node.domain !== "" || !isNew(seen, value, steps)) return undefined;
  if (isProduct(graph, node)) return node;
  if (!between.has(node.op)) return undefined;
  for (const input of node.inputs) {
    const found = input && productBehind(graph, input, steps + 1, seen);
    if (found) return found;
  }
  return undefined;
}

function productAfter(
  graph: Graph,
  value: Value,
  steps = 0,
  seen: Steps = new Map(),
): Pick<Parts, "context" | "value"> | undefined {
  if (!isNew(seen, value, steps)) return undefined;
  for (const { node, index } of graph.uses(value)) {
    if (!node || index < 0 || node.domain !== "") continue;
    const other = operandsOf(node).find(
      (_, i, { length }) => length === 2 && operandIndex(node, i) !== index,
    );
    if (isProduct(graph, node) && other) return { context: node, value: other };
    const next = between.has(node.op) ? node.outputs[0] : undefined;
    const found = next && productAfter(graph, next, steps + 1, seen);
    if (found) return found;
  }
  return undefined;
}

/** A product of two computed values. */
function isProduct(graph: Graph, node: Node): boolean {
  const op = quantizedForm(node)?.op ?? node.op;
  if (op !== "MatMul" && op !== "Einsum") return false;
  const operands = operandsOf(node);
  return operands.length === 2 && operands.every((value) => value && isComputed(graph, value));
}

/** The values that a node multiplies: all inputs, or those of a quantized product that are no scales. */
function operandsOf(node: Node): readonly (Value | undefined)[] {
  return quantizedForm(node)?.operands.map(({ value }) => node.inputs[value]) ?? node.inputs;
}

/** The input at which operand `i` stands. */
const operandIndex = (node: Node, i: number): number => quantizedForm(node)?.operands[i]?.value ?? i;

/** Neither a constant nor a moved constant (a tied weight is used through a Transpose). */
export const isComputed = (graph: Graph, value: Value): boolean =>
  fixedData(graph, sourceOf(graph, value)) === undefined;

function describe(
  coupling: Coupling,
  { scores, softmax, context, value }: Parts,
  slices: ReadonlyMap<Space, readonly CoupledSlice[]>,
): FoundAttention {
  const batch = batchAxes(coupling, scores);
  const leaves = [...new Set(batch.flatMap((space) => space.leaves()))].filter(({ size }) => (size ?? 0) > 1);
  // Windows and other positions are batch axes too; heads are in the weights.
  const heads = leaves.filter((leaf) =>
    slices.get(leaf)?.some(({ role }) => role === "producer" || role === "consumer"),
  );
  const own = valueLeaves(coupling, value);
  const groups = heads.filter((leaf) => own.has(leaf));
  const queries = heads.filter((leaf) => !own.has(leaf));
  const dims = contractedSpace(coupling, scores);
  return {
    name: commonName([scores, softmax, context].map(nodeName)) ?? nodeName(softmax),
    form: context.op,
    heads: heads.length > 0 ? count(heads) : (numberOf(batch.at(-1)) ?? 1),
    kvHeads: heads.length > 0 ? count(groups) : (numberOf(batch.at(-1)) ?? 1),
    headDim: dims?.size ?? 0,
    prunable: whyNot(groups.length > 0 ? groups : queries, leaves.length > 0),
    kvLeaves: groups,
    queryLeaves: queries,
    dimLeaves: dimLeaves(coupling, scores, context, dims),
    valueWeights: weightsBehind(coupling.graph, value),
  };
}

/** An operator that attends. */
function describeFused(
  { graph }: Coupling,
  { node, pattern, heads, kvHeads, headDim, dimLeaves: dims, values }: FusedAttention,
): FoundAttention {
  const leaves = heads.leaves().filter(({ size }) => size !== 1);
  const groups = leaves.filter((leaf) => kvHeads.contains(leaf));
  const queries = leaves.filter((leaf) => !kvHeads.contains(leaf));
  return {
    name: commonName([nodeName(node)]) ?? nodeName(node),
    form: pattern,
    heads: heads.size ?? 0,
    kvHeads: kvHeads.size ?? 0,
    headDim,
    prunable: whyNot(groups.length > 0 ? groups : queries, leaves.length > 0),
    kvLeaves: groups,
    queryLeaves: queries,
    dimLeaves: dims,
    valueWeights: values.data ? new Set([values.name]) : weightsBehind(graph, values),
  };
}

const count = (spaces: readonly Space[]): number =>
  spaces.reduce((product, { size }) => product * (size ?? 1), 1);

const numberOf = (space: Space | undefined): number | undefined => space?.size;

function whyNot(heads: readonly Space[], severalHeads: boolean): true | string {
  if (heads.length === 0) {
    return severalHeads
      ? "its heads cannot be followed to the weights that make them"
      : "it has one head only";
  }
  const reasons = heads.map(whyBlocked);
  return reasons.includes(undefined) ? true : reasons[0]!;
}

/** The axes that both operands of a product share and keep: batch, heads, windows. */
function batchAxes({ graph, inference, axesOf }: Coupling, node: Node): readonly Space[] {
  const output = node.outputs[0];
  const axes = (output && axesOf(output)) ?? [];
  if (node.op !== "Einsum") return axes.slice(0, -2);
  const labels = einsumLabels(new NodeView(graph, node, inference));
  return axes.filter((_, i) => labels?.inputs.every((own) => own.includes(labels.output[i]!)));
}

function contractedSpace({ contractions }: Coupling, node: Node): Space | undefined {
  return contractions.find((contraction) => contraction.node === node)?.space;
}

/** Leaves of a query and a key, and those of a value. */
function dimLeaves({ axesOf }: Coupling, scores: Node, context: Node, dims: Space | undefined): Space[] {
  const known = new Set((axesOf(scores.outputs[0]!) ?? []).flatMap((space) => space.leaves()));
  const values = (axesOf(context.outputs[0]!) ?? []).flatMap((space) => space.leaves());
  return [...new Set([...(dims?.leaves() ?? []), ...values.filter((leaf) => !known.has(leaf))])];
}

/** Leaves that the values have themselves: not those along which they are repeated for several queries. */
function valueLeaves({ graph, axesOf }: Coupling, value: Value): ReadonlySet<Space> {
  const leaves = new Set((axesOf(value) ?? []).flatMap((space) => space.leaves()));
  for (const node of nodesBehind(graph, value)) {
    if (node.op !== "Expand") continue;
    const from = (node.inputs[0] && axesOf(node.inputs[0])) ?? [];
    const to = (node.outputs[0] && axesOf(node.outputs[0])) ?? [];
    to.forEach((space, axis) => {
      const source = from[axis - to.length + from.length];
      if (!source || source.size === 1) for (const leaf of space.leaves()) leaves.delete(leaf);
    });
  }
  return leaves;
}

const layers = new Set(["MatMul", "Gemm", "Conv", "Einsum", "FusedMatMul", "FusedGemm"]);

/** The nodes that make a value from the outputs of layers, those layers included. */
function nodesBehind(graph: Graph, value: Value): ReadonlySet<Node> {
  const found = new Set<Node>();
  const open = [value];
  for (let at = open.pop(); at; at = open.pop()) {
    const node = graph.producer(at);
    if (!node || found.has(node)) continue;
    found.add(node);
    if (!layers.has(node.op) && !quantizedLayer(graph, node))
      open.push(...node.inputs.filter((input) => input !== undefined));
  }
  return found;
}

/** The weights of the layers that a value comes from. */
function weightsBehind(graph: Graph, value: Value): ReadonlySet<string> {
  const found = new Set<string>();
  for (const node of nodesBehind(graph, value)) {
    const quantized = quantizedLayer(graph, node);
    if (quantized) found.add(quantized.weight.name);
    const weight = layers.has(node.op) ? node.inputs[1] : undefined;
    if (!quantized && weight && !isComputed(graph, weight)) found.add(sourceOf(graph, weight).name);
  }
  return found;
}

/** What a value is before it is moved, quantized or dequantized. */
function sourceOf(graph: Graph, value: Value): Value {
  let at = value;
  for (;;) {
    const producer = graph.producer(at);
    const source = producer?.inputs[0];
    const moves =
      producer && (isRearranging(producer) || isQuantizeLinear(producer) || isDequantizeLinear(producer));
    if (!moves || !source) return at;
    at = source;
  }
}

/** `/encoder/layer.0/attention/self` of `/encoder/layer.0/attention/self/MatMul` and `…/Softmax`. */
function commonName(names: readonly string[]): string | undefined {
  const [first = [], ...others] = names.map((name) => name.split("/").slice(0, -1));
  const length = first.findIndex((part, i) => others.some((other) => other[i] !== part));
  const common = first.slice(0, length < 0 ? first.length : length).join("/");
  return common === "" ? undefined : common;
}
