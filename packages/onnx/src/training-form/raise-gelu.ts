import { string } from "../graph/attribute.ts";
import type { Value } from "../graph/graph.ts";
import { type Monomial, monomialOf, operandsOf, termsOf } from "./monomial.ts";
import type { PatternReader } from "./pattern.ts";

/** An un-fused GELU: `root` is GELU of `x`. */
export interface FoundGelu {
  readonly root: Value;
  readonly x: Value;
  readonly approximate: "none" | "tanh";
}

/** Relative error that a constant may have: exporters write them as float32, people with seven digits. */
const tolerance = 3e-6;

const isNear = (number: number | undefined, constant: number): boolean =>
  number !== undefined && Math.abs(number / constant - 1) <= tolerance;

/**
 * The un-fused forms of
 *
 *     ½ · x · (1 + erf(x / √2))
 *     ½ · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))
 *
 * in a graph, in any order and grouping of factors and terms, that can be replaced by one node.
 */
export function findGelus(pattern: PatternReader): readonly FoundGelu[] {
  return pattern.graph.sorted().flatMap(({ op, domain, inputs: [u], outputs: [s] }) => {
    if (domain !== "" || (op !== "Erf" && op !== "Tanh") || !u || !s) return [];
    const isArgument = op === "Erf" ? isErfArgument : isTanhArgument;
    const x = [...operandsOf(pattern, u)].find((candidate) => isArgument(pattern, u, candidate));
    const root = x && rootOf(pattern, s, x);
    if (!root || !pattern.cone(root, [x])) return [];
    return [{ root, x, approximate: op === "Erf" ? "none" : "tanh" }];
  });
}

/** Puts Gelu, of opset 20, in the place of each; returns their number. */
export function raiseGelus(pattern: PatternReader): number {
  let edits = 0;
  for (const { root, x, approximate } of findGelus(pattern)) {
    const gelu = { op: "Gelu", inputs: [x], attributes: { approximate: string(approximate) } };
    if (pattern.raise(root, [x], () => gelu)) edits += 1;
  }
  return edits;
}

/** x / √2 */
function isErfArgument(pattern: PatternReader, u: Value, x: Value): boolean {
  const { coefficient, powers } = monomialOf(pattern, u, x);
  return isNear(coefficient, Math.SQRT1_2) && powers.size === 1 && powers.get(x) === 1;
}

/** √(2/π) · (x + 0.044715 · x³), or with x before the bracket */
function isTanhArgument(pattern: PatternReader, u: Value, x: Value): boolean {
  const { coefficient, powers } = monomialOf(pattern, u, x);
  const outside = powers.get(x) ?? 0;
  const [sum, second] = [...powers].filter(([value]) => value !== x);
  if (!sum || second || sum[1] !== 1) return false;
  const terms = new Map<number, number>();
  for (const term of termsOf(pattern, sum[0], x)) {
    const inside = term.powers.get(x) ?? 0;
    if (term.powers.size > (term.powers.has(x) ? 1 : 0)) return false;
    terms.set(outside + inside, coefficient * term.coefficient);
  }
  const factor = Math.sqrt(2 / Math.PI);
  return terms.size === 2 && isNear(terms.get(1), factor) && isNear(terms.get(3), 0.044715 * factor);
}

/** The product ½ · x · (1 + s) that a sigmoid-like s goes into, and nothing else. */
function rootOf(pattern: PatternReader, s: Value, x: Value): Value | undefined {
  let sum: Value | undefined;
  let value = s;
  for (let steps = 0; steps < 5; steps++) {
    const node = pattern.user(value);
    const output = node?.outputs[0];
    if (!node || !output || node.domain !== "") return undefined;
    if (node.op === "Add" && !sum) sum = output;
    else if (node.op !== "Mul" && node.op !== "Div") return undefined;
    if (sum && isGate(pattern, sum, s, x, monomialOf(pattern, output, x))) return output;
    value = output;
  }
  return undefined;
}

function isGate(
  pattern: PatternReader,
  sum: Value,
  s: Value,
  x: Value,
  { coefficient, powers }: Monomial,
): boolean {
  if (powers.size !== 2 || powers.get(x) !== 1 || powers.get(sum) !== 1) return false;
  const terms = termsOf(pattern, sum, s);
  const [constant, ...others] = terms.filter((term) => term.powers.size === 0);
  const linear = terms.find((term) => term.powers.size === 1 && term.powers.get(s) === 1);
  if (others.length > 0) return false;
  return [constant, linear].every((term) => term && isNear(coefficient * term.coefficient, 0.5));
}
