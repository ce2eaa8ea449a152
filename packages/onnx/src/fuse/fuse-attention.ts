import { float, int } from "../graph/attribute.ts";
import type { Node, Value } from "../graph/graph.ts";
import { nodeName } from "../coupling/analyse.ts";
import { isAttending } from "../sites/attention.ts";
import { takeOver } from "../training-form/take-over.ts";
import { type ScoreForm, scoreForm } from "./attention-bias.ts";
import { operandsOf, type Operands } from "./attention-operands.ts";
import { type AttentionRoot, rootsOf } from "./attention-root.ts";
import type { FuseContext } from "./fuse-context.ts";
import { isMiss, type Miss, miss } from "./miss.ts";
import { packedWeights } from "./packed-weights.ts";
import { targetWithout } from "./runtime-operators.ts";
import { ScoreBiases } from "./score-bias.ts";
import { innerValues, type UnfusedAttention, unfusedAttention } from "./unfused-attention.ts";

/** Puts MultiHeadAttention or Attention in the place of `softmax(scale · q·kᵀ + mask)·v`. Returns the number of layers. */
export function fuseAttention(context: FuseContext): number {
  const biases = new ScoreBiases(context.emit);
  let edits = 0;
  for (const softmax of context.graph.sorted()) {
    if (softmax.op !== "Softmax" || softmax.domain !== "" || !isAttending(context.graph, softmax)) continue;
    const node = nodeName(softmax);
    const done = fuseOne(context, softmax, biases);
    if (isMiss(done)) {
      context.skipped.push({ pattern: "attention", node, reason: done.reason });
      continue;
    }
    const { op, name } = done.node;
    context.fused.push({ pattern: "attention", op: `com.microsoft.${op}`, node: name, heads: done.heads });
    edits += 1;
  }
  return edits;
}

function fuseOne(
  context: FuseContext,
  softmax: Node,
  biases: ScoreBiases,
): { readonly node: Node; readonly heads: number } | Miss {
  const { pattern, graph, settings } = context;
  const found = unfusedAttention(pattern, softmax);
  if (isMiss(found)) return found;
  const place = placeOf(context, found);
  if (isMiss(place)) return place;
  const { root, inside } = place;
  const form = scoreForm(pattern, found.atoms, found.steps, (value) => inside.has(value));
  if (isMiss(form)) return form;
  const operands = operandsOf(graph, found);
  if (!operands)
    return miss("its queries, keys and values cannot be laid out as [batch, positions, heads · dim]");
  const whole: Whole = { found, form, operands, root, biases };
  // The operators take a scale of 0 for none.
  if (!(Math.abs(scaleOf(whole)) > 0)) return miss("its scores are multiplied by 0");
  const node = settings.attention === "Attention" ? packed(context, whole) : multiHead(context, whole);
  if (isMiss(node)) return node;
  replace(context, node.outputs[0]!, whole);
  return { node, heads: found.heads };
}

/** The result to replace, after which nothing reads what comes before it. */
function placeOf(
  { graph }: FuseContext,
  found: UnfusedAttention,
): { readonly root: AttentionRoot; readonly inside: ReadonlySet<Value> } | Miss {
  let reason = miss("its result is not laid out by batch, heads and queries");
  for (const root of rootsOf(found)) {
    const inside = innerValues(graph, found, root.value);
    if (!isMiss(inside)) return { root, inside };
    reason = inside;
  }
  return reason;
}

interface Whole {
  readonly found: UnfusedAttention;
  readonly form: ScoreForm;
  readonly operands: Operands;
  readonly root: AttentionRoot;
  readonly biases: ScoreBiases;
}

const stemOf = ({ softmax }: UnfusedAttention): string => softmax.name.replace(/\/[^/]*$/, "") || "attention";

function multiHead(context: FuseContext, whole: Whole): Node | Miss {
  const { emit, settings } = context;
  const { found, form, operands, biases } = whole;
  const lacking = targetWithout(settings.targets, "MultiHeadAttention");
  if (lacking) return miss(`onnxruntime ${lacking.version} on ${lacking.provider} has no MultiHeadAttention`);
  const stem = stemOf(found);
  const [q, k, v] = [operands.q, operands.k, operands.v].map((operand) => operand.make(emit, stem));
  const bias =
    form.bias &&
    biases.spread(stem, form.bias, found, {
      q: q!,
      k: k!,
      keyAxis: operands.isApart ? 2 : 1,
      fullBatch: false,
      fullHeads: targetWithout(settings.targets, "MultiHeadAttention: one bias for all heads") !== undefined,
    });
  if (bias && isMiss(bias)) return bias;
  const output = outputFactor(context, stem, v!, whole);
  return emit.node(stem, {
    op: "MultiHeadAttention",
    domain: "com.microsoft",
    inputs: [q!, k!, output, ...(bias ? [undefined, undefined, bias] : [])],
    attributes: { num_heads: int(found.heads), scale: float(scaleOf(whole)) },
  });
}

/** A factor of V is put back: no operator has one. */
function outputFactor({ emit }: FuseContext, stem: string, v: Value, { operands }: Whole): Value {
  const { factor } = operands.v;
  return factor === 1 ? v : emit.value(stem, "Mul", [v, emit.float(factor)]);
}

const scaleOf = ({ form, operands: { q, k } }: Whole): number => form.scale * q.factor * k.factor;

/** com.microsoft.Attention, which projects its input itself. */
function packed(context: FuseContext, whole: Whole): Node | Miss {
  const { emit, settings } = context;
  const { found, form, operands, biases } = whole;
  const lacking = targetWithout(settings.targets, "Attention");
  if (lacking) return miss(`onnxruntime ${lacking.version} on ${lacking.provider} has no Attention`);
  const projection = packedWeights(context, operands, found);
  if (isMiss(projection)) return projection;
  const stem = stemOf(found);
  const full = targetWithout(settings.targets, "Attention: broadcast bias") !== undefined;
  const { x } = projection;
  const spread = { q: x, k: x, keyAxis: 1, fullBatch: full, fullHeads: full };
  const bias = form.bias && biases.spread(stem, form.bias, found, spread);
  if (bias && isMiss(bias)) return bias;
  return emit.node(stem, {
    op: "Attention",
    domain: "com.microsoft",
    inputs: [x, ...projection.make(stem), ...(bias ? [undefined, undefined, bias] : [])],
    attributes: {
      num_heads: int(found.heads),
      qkv_hidden_sizes: { kind: "ints", value: projection.widths },
      scale: float(scaleOf(whole)),
    },
  });
}

function replace(context: FuseContext, output: Value, { found, root }: Whole): void {
  const { emit, graph, inference } = context;
  const stem = stemOf(found);
  let result = output;
  if (found.isGuarded) {
    const isEmpty = emit.value(stem, "IsNaN", [result]);
    result = emit.value(stem, "Where", [isEmpty, emit.float(0), result]);
  }
  takeOver(graph, graph.producer(root.value)!, [root.make(emit, stem, result)], inference);
}
