import type { Graph, Node, Value } from "../graph/graph.ts";
import { multiplyDims } from "../infer/dims.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import type { PatternReader } from "../training-form/pattern.ts";
import { isSpread, type Scores, scoresBehind } from "./attention-scores.ts";
import { type Atom, AxisAtoms, type Axis, type Layout } from "./axis-layout.ts";
import { knownNumber } from "./known-number.ts";
import { isMiss, type Miss, miss } from "./miss.ts";
import { layoutAfter, type Stage, stagesAfter, stagesBehind } from "./trace-layout.ts";

/** The axes of an attention layer. */
interface AttentionAxes {
  readonly batch: Axis;
  /** Empty where there is one head without an axis of its own. */
  readonly heads: Axis;
  readonly queries: Axis;
  readonly keys: Axis;
  /** Features of a query and a key. */
  readonly dim: Axis;
  /** Features of a value. */
  readonly valueDim: Axis;
}

/** `softmax(scale · q·kᵀ + mask)·v` written node by node. */
export interface UnfusedAttention {
  readonly softmax: Node;
  readonly atoms: AxisAtoms;
  readonly axes: AttentionAxes;
  readonly heads: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** What Q, K and V are copies of, from the product's own input back to where they are made. */
  readonly q: readonly Stage[];
  readonly k: readonly Stage[];
  readonly v: readonly Stage[];
  readonly steps: Scores["steps"];
  /** Whether a row of NaN, which no key is visible in, becomes zeros. */
  readonly isGuarded: boolean;
  /** The product with V and what it goes into by moves alone. */
  readonly results: readonly Pick<Stage, "value" | "layout">[];
  /** The product of queries and keys. */
  readonly product: Value;
}

/** The attention around a softmax. */
export function unfusedAttention(pattern: PatternReader, softmax: Node): UnfusedAttention | Miss {
  const [input, output] = [softmax.inputs[0], softmax.outputs[0]];
  const type = input && pattern.inference.types.get(input);
  const shape = type?.shape;
  if (!input || !output || !shape) return miss("the shape of its scores is not known");
  if (type.dtype !== "float32") return miss(`it computes in ${type.dtype}, not in float32`);
  const opset = pattern.graph.opsets.get("") ?? 1;
  if (frontAxis(intAttribute(softmax, "axis", opset < 13 ? 1 : -1), shape.length) !== shape.length - 1)
    return miss("its softmax is not over the last axis");
  const atoms = new AxisAtoms();
  const layout = atoms.fresh(shape);
  const scores = scoresBehind(pattern, atoms, input, layout);
  if (isMiss(scores)) return scores;
  const after = contextAfter(pattern, atoms, output, layout);
  if (isMiss(after)) return after;
  return traced(pattern, atoms, { softmax, scores, ...after });
}

interface Context {
  readonly context: Node;
  /** Axes of the weights at the product with V. */
  readonly weights: Layout;
  readonly isGuarded: boolean;
}

/** The product of the weights with V. */
function contextAfter(pattern: PatternReader, atoms: AxisAtoms, from: Value, layout: Layout): Context | Miss {
  let [value, weights, isGuarded] = [from, layout, false];
  for (let steps = 0; steps < 8; steps++) {
    const guarded = guardOf(pattern, value);
    const node = guarded ?? pattern.user(value);
    const output = node?.outputs[0];
    if (!node || !output || node.domain !== "") return miss("its weights are used more than once");
    if (node.op === "MatMul") {
      return pattern.source(node.inputs[0]!) === pattern.source(value)
        ? { context: node, weights, isGuarded }
        : miss("its weights are the second operand of the product with V");
    }
    if (guarded) isGuarded = true;
    else if (node.op !== "Dropout") {
      const next = layoutAfter(pattern, atoms, node, weights);
      if (!next) return miss(`its weights go through ${node.op}`);
      weights = next;
    }
    value = output;
  }
  return miss("its weights do not reach a product with V");
}

/** `Where(IsNaN(p), 0, p)` */
function guardOf(pattern: PatternReader, value: Value): Node | undefined {
  const users = pattern.graph.uses(value).map(({ node }) => node);
  const where = users.find((node) => node?.op === "Where" && node.domain === "");
  const test = users.find((node) => node?.op === "IsNaN" && node.domain === "");
  if (users.length !== 2 || !where || !test || where.inputs[2] !== value) return undefined;
  return where.inputs[0] === test.outputs[0] && knownNumber(pattern, where.inputs[1]) === 0
    ? where
    : undefined;
}

function traced(
  pattern: PatternReader,
  atoms: AxisAtoms,
  {
    softmax,
    scores: { product, layout, steps },
    context,
    weights,
    isGuarded,
  }: Context & { readonly softmax: Node; readonly scores: Scores },
): UnfusedAttention | Miss {
  const sizes = [product.inputs[0], context.inputs[1]].map(
    (value) => value && pattern.inference.types.get(value)?.shape?.at(-1),
  );
  const [dim, valueDim] = sizes.map((size): Atom => ({ dim: size }));
  const lead = layout.slice(0, -2);
  const [queries, keys] = [layout.at(-2), layout.at(-1)];
  if (!dim || !valueDim || !queries || !keys) return miss("the shape of its scores is not known");
  const trace = (value: Value, axes: Layout): readonly Stage[] | Miss =>
    isSpread(pattern, value, axes)
      ? miss("one head of keys or values is spread over several of queries")
      : stagesBehind(pattern, atoms, value, axes);
  const q = trace(product.inputs[0]!, [...lead, queries, [dim]]);
  const k = trace(product.inputs[1]!, [...lead, [dim], keys]);
  const v = trace(context.inputs[1]!, [...weights.slice(0, -2), weights.at(-1)!, [valueDim]]);
  if (isMiss(q)) return q;
  if (isMiss(k)) return k;
  if (isMiss(v)) return v;
  const contextLayout = [...weights.slice(0, -1), [valueDim]];
  const results = stagesAfter(pattern, atoms, context.outputs[0]!, contextLayout);
  const axes = axesOf(atoms.resolve([...lead, queries, keys, [dim], [valueDim]]), lead.length);
  if (!axes) return miss("its scores have other axes than batch, heads, queries and keys");
  const heads = multiplyDims(axes.heads.map((atom) => atom.dim));
  if (typeof heads !== "number" || typeof dim.dim !== "number" || typeof valueDim.dim !== "number")
    return miss("the number or size of its heads is known at run time only");
  return {
    softmax,
    atoms,
    axes,
    heads,
    headDim: dim.dim,
    valueDim: valueDim.dim,
    q,
    k,
    v,
    steps,
    isGuarded,
    results,
    product: product.outputs[0]!,
  };
}

/** The axes `[batch, heads, queries, keys, dim, value dim]`; batch and heads may have one axis, on which the batch comes first. */
function axesOf(layout: Layout, leadCount: number): AttentionAxes | undefined {
  const [queries, keys, dim, valueDim] = layout.slice(leadCount);
  const lead = layout.slice(0, leadCount);
  const [batch, heads] = lead.length === 1 ? [lead[0]!.slice(0, 1), lead[0]!.slice(1)] : lead;
  if (!batch || !heads || lead.length > 2 || !queries || !keys || !dim || !valueDim) return undefined;
  return { batch, heads, queries, keys, dim, valueDim };
}

/**
 * The values between the product of queries and keys and the result, or why they cannot go: something else reads one.
 */
export function innerValues(
  graph: Graph,
  { product }: UnfusedAttention,
  root: Value,
): ReadonlySet<Value> | Miss {
  const seen = new Set<Value>();
  const open = [product];
  for (let value = open.pop(); value; value = open.pop()) {
    if (seen.has(value) || value === root) continue;
    seen.add(value);
    for (const { node, index } of graph.uses(value)) {
      if (!node)
        return miss(`what it computes is read elsewhere: "${value.name}" comes to an output of the model`);
      if (index < 0) return miss(`what it computes is read elsewhere: "${value.name}" by a subgraph`);
      open.push(...node.outputs.filter((output) => output !== undefined));
    }
  }
  return seen;
}
