import type { Value } from "../graph/graph.ts";
import type { PatternReader } from "./pattern.ts";

/** A number times powers of values. */
export interface Monomial {
  readonly coefficient: number;
  /** Exponents, none of them 0. */
  readonly powers: ReadonlyMap<Value, number>;
}

/** How deep products are followed. */
const depthLimit = 8;

/** A value as a product of what is not a product itself; `stop` is not taken apart. */
export function monomialOf(
  pattern: PatternReader,
  value: Value,
  stop: Value,
  depth: number = depthLimit,
): Monomial {
  const own = pattern.source(value);
  const number = pattern.scalar(own);
  if (number !== undefined) return { coefficient: number, powers: new Map() };
  const leaf: Monomial = { coefficient: 1, powers: new Map([[own, 1]]) };
  if (own === stop || depth === 0) return leaf;
  const part = (input: Value): Monomial => monomialOf(pattern, input, stop, depth - 1);
  const op = pattern.producer(own, "Mul", "Div", "Pow")?.op;
  const [a, b] = op ? (pattern.inputs(own, op) ?? []) : [];
  if (!a || !b) return leaf;
  const second = pattern.scalar(b);
  switch (op) {
    case "Mul":
      return product(part(a), part(b));
    case "Div":
      return second === undefined ? leaf : product(part(a), { coefficient: 1 / second, powers: new Map() });
    default:
      return second === undefined ? leaf : raised(part(a), second);
  }
}

/** Both terms of a sum. */
export function termsOf(pattern: PatternReader, value: Value, stop: Value): readonly Monomial[] {
  return pattern.inputs(value, "Add")?.map((term) => monomialOf(pattern, term, stop)) ?? [];
}

/** The values that a value is computed from by arithmetic, itself included. */
export function operandsOf(
  pattern: PatternReader,
  value: Value,
  depth: number = depthLimit,
): ReadonlySet<Value> {
  const own = pattern.source(value);
  const inputs = depth > 0 ? pattern.inputs(own, "Add", "Mul", "Div", "Pow") : undefined;
  const below = inputs?.flatMap((input) => [...operandsOf(pattern, input, depth - 1)]) ?? [];
  return new Set([own, ...below]);
}

function product(a: Monomial, b: Monomial): Monomial {
  const powers = new Map(a.powers);
  for (const [value, power] of b.powers) powers.set(value, (powers.get(value) ?? 0) + power);
  return { coefficient: a.coefficient * b.coefficient, powers };
}

function raised({ coefficient, powers }: Monomial, exponent: number): Monomial {
  return {
    coefficient: coefficient ** exponent,
    powers: new Map([...powers].map(([value, power]) => [value, power * exponent])),
  };
}
