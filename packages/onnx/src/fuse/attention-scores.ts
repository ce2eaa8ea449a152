import type { Node, Value } from "../graph/graph.ts";
import { multiplyDims } from "../infer/dims.ts";
import { isComputed } from "../sites/attention.ts";
import type { PatternReader } from "../training-form/pattern.ts";
import type { AxisAtoms, Layout } from "./axis-layout.ts";
import { knownNumber } from "./known-number.ts";
import { type Miss, isMiss, miss } from "./miss.ts";

/** What happens to scores before their softmax; the last step of a list is the one next to the softmax. */
export type ScoreStep =
  | { readonly kind: "scale"; readonly factor: number }
  | { readonly kind: "add" | "subtract"; readonly mask: Value; readonly layout: Layout }
  /** Scores become `fill` where `mask` is (or, with `keeps`, is not) true. */
  | {
      readonly kind: "fill";
      readonly mask: Value;
      readonly fill: number;
      readonly keeps: boolean;
      readonly layout: Layout;
    }
  /** Scores are at least `lowest`. */
  | { readonly kind: "floor"; readonly lowest: number };

/** The product of queries and keys behind a softmax, and the way from it. */
export interface Scores {
  readonly product: Node;
  /** Axes of the product: batch and heads, queries, keys. */
  readonly layout: Layout;
  readonly steps: readonly ScoreStep[];
}

const longestPath = 12;

/** Follows scores back to the product that makes them. */
export function scoresBehind(
  pattern: PatternReader,
  atoms: AxisAtoms,
  from: Value,
  layout: Layout,
  depth: number = longestPath,
): Scores | Miss {
  const value = pattern.source(from);
  const node = pattern.graph.producer(value);
  if (!node || node.domain !== "" || depth === 0) return miss("its scores do not come from a MatMul");
  const inputs = node.inputs.map((input) => input && pattern.source(input));
  const behind = (input: Value | undefined, at: Layout = layout): Scores | Miss =>
    input ? scoresBehind(pattern, atoms, input, at, depth - 1) : miss("its scores do not come from a MatMul");
  switch (node.op) {
    case "MatMul":
      if (!inputs.every((input) => input && isComputed(pattern.graph, input)))
        return miss("its scores come from a MatMul with a constant");
      if (isSpread(pattern, value, layout)) return miss("its scores are spread by what is added to them");
      atoms.rename(layout, pattern.inference.types.get(value)!.shape!);
      return { product: node, layout, steps: [] };
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze": {
      const shape = inputs[0] && pattern.inference.types.get(inputs[0])?.shape;
      const before = shape && atoms.reshape(layout, shape);
      return before ? behind(inputs[0], before) : miss("the sizes of a Reshape of its scores are not known");
    }
    case "Mul":
    case "Div":
      return scaled(pattern, node, behind);
    case "Add":
      return added(pattern, inputs, layout, behind);
    case "Sub":
      return subtracted(inputs, layout, behind);
    case "Where":
      return filled(pattern, inputs, layout, behind);
    case "Max":
      return floored(pattern, inputs, behind);
    default:
      return miss(`its scores go through ${node.op}`);
  }
}

/**
 * Whether a value has one element where a layout has several, and is broadcast to it. A named size is taken for any other, as inference
 * does: exporters do not stretch a named axis.
 */
export function isSpread({ inference }: PatternReader, value: Value, layout: Layout): boolean {
  const shape = inference.types.get(value)?.shape;
  return (
    shape?.length !== layout.length ||
    layout.some((axis, i) => {
      const [own, whole] = [shape[i], multiplyDims(axis.map(({ dim }) => dim))];
      return own !== whole && typeof own === "number" && (own === 1 || typeof whole === "number");
    })
  );
}

type Behind = (input: Value | undefined, at?: Layout) => Scores | Miss;

const then = (scores: Scores | Miss, step: ScoreStep): Scores | Miss =>
  isMiss(scores) ? scores : { ...scores, steps: [...scores.steps, step] };

function scaled(pattern: PatternReader, node: Node, behind: Behind): Scores | Miss {
  const orders =
    node.op === "Mul"
      ? ([
          [0, 1],
          [1, 0],
        ] as const)
      : ([[0, 1]] as const);
  for (const [from, other] of orders) {
    const number = knownNumber(pattern, node.inputs[other]);
    if (number === undefined) continue;
    return then(behind(node.inputs[from]), {
      kind: "scale",
      factor: node.op === "Mul" ? number : 1 / number,
    });
  }
  return miss("its scores are multiplied by something that is not one known number");
}

function added(
  pattern: PatternReader,
  [a, b]: readonly (Value | undefined)[],
  layout: Layout,
  behind: Behind,
): Scores | Miss {
  const rank = (value: Value | undefined) => value && pattern.inference.types.get(value)?.shape?.length;
  let found: Scores | Miss = miss("its scores do not come from a MatMul");
  for (const [scores, bias] of [
    [a, b],
    [b, a],
  ]) {
    // A mask has no more axes than scores.
    if (!scores || !bias || rank(scores) !== layout.length || !isComputed(pattern.graph, scores)) continue;
    found = then(behind(scores), { kind: "add", mask: bias, layout });
    if (!isMiss(found)) return found;
  }
  return found;
}

function subtracted(
  [scores, bias]: readonly (Value | undefined)[],
  layout: Layout,
  behind: Behind,
): Scores | Miss {
  if (!bias) return miss("its scores do not come from a MatMul");
  return then(behind(scores), { kind: "subtract", mask: bias, layout });
}

function filled(
  pattern: PatternReader,
  [condition, yes, no]: readonly (Value | undefined)[],
  layout: Layout,
  behind: Behind,
): Scores | Miss {
  for (const keeps of [true, false]) {
    const fill = knownNumber(pattern, keeps ? no : yes);
    if (fill === undefined || !condition) continue;
    const scores = behind(keeps ? yes : no);
    return then(scores, { kind: "fill", mask: condition, fill, keeps, layout });
  }
  return miss("the Where of its scores does not fill in one known number");
}

function floored(
  pattern: PatternReader,
  inputs: readonly (Value | undefined)[],
  behind: Behind,
): Scores | Miss {
  const lowest = inputs.map((input) => knownNumber(pattern, input)).find((number) => number !== undefined);
  const scores = inputs.find((input) => input && knownNumber(pattern, input) === undefined);
  if (inputs.length !== 2 || lowest === undefined || lowest > -1e30)
    return miss("its scores go through a Max with more than the lowest float");
  return then(behind(scores), { kind: "floor", lowest });
}
