import type { Dim } from "../graph/graph.ts";

/** A dimension as a number times named symbols: `2·batch·seq` is { coefficient: 2, symbols: ["batch", "seq"] }. */
export interface DimFactors {
  readonly coefficient: number;
  /** Sorted. */
  readonly symbols: readonly string[];
}

/** Splits at the top level only: a sum in parentheses stays one symbol. */
export function factorsOf(dim: Dim): DimFactors | undefined {
  if (dim === undefined) return undefined;
  if (typeof dim === "number") return { coefficient: dim, symbols: [] };
  let coefficient = 1;
  const symbols: string[] = [];
  for (const part of splitProduct(dim)) {
    if (/^\d+$/.test(part)) coefficient *= Number(part);
    else symbols.push(part);
  }
  return { coefficient, symbols: symbols.sort() };
}

/** The dimension that `factorsOf` would take apart again. */
export function dimOf({ coefficient, symbols }: DimFactors): Dim {
  if (coefficient === 0 || symbols.length === 0) return coefficient;
  return named([...(coefficient === 1 ? [] : [String(coefficient)]), ...symbols].join("·"));
}

/** A symbolic size; one that takes pages to write down counts as unknown, for each operation can double it. */
function named(text: string): Dim {
  return text.length > 1000 ? undefined : text;
}

/** Product of dimensions; unknown as soon as one of them is. */
export function multiplyDims(dims: readonly Dim[]): Dim {
  let coefficient = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    const factors = factorsOf(dim);
    if (!factors) return undefined;
    coefficient *= factors.coefficient;
    symbols.push(...factors.symbols);
  }
  return dimOf({ coefficient, symbols: symbols.sort() });
}

/** Exact quotient, `undefined` where there is none. */
export function divideDims(dividend: Dim, divisor: Dim): Dim {
  const a = factorsOf(dividend);
  const b = factorsOf(divisor);
  if (!a || !b || b.coefficient === 0 || a.coefficient % b.coefficient !== 0) return undefined;
  const symbols = [...a.symbols];
  for (const symbol of b.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) return undefined;
    symbols.splice(at, 1);
  }
  return dimOf({ coefficient: a.coefficient / b.coefficient, symbols });
}

/** Sum of dimensions; a symbolic sum becomes one symbol in parentheses. */
export function addDims(dims: readonly Dim[]): Dim {
  let constant = 0;
  const terms: string[] = [];
  for (const dim of dims) {
    if (dim === undefined) return undefined;
    if (typeof dim === "number") constant += dim;
    else terms.push(dim);
  }
  if (terms.length === 0) return constant;
  if (terms.length === 1 && constant === 0) return terms[0];
  return named(`(${[...terms, ...(constant === 0 ? [] : [String(constant)])].join(" + ")})`);
}

/** What two sources know about one dimension: a number wins over a name, a name over nothing. */
export function mergeDim(first: Dim, second: Dim): Dim {
  if (typeof first === "number") return first;
  if (typeof second === "number") return second;
  return first ?? second;
}

/** NumPy broadcasting of two dimensions; a size other than 1 decides over a symbol. */
function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === 1) return b;
  if (b === 1) return a;
  if (a === b) return a;
  if (typeof a === "number") return a;
  if (typeof b === "number") return b;
  return undefined;
}

/** NumPy broadcasting of whole shapes, `undefined` where a rank is not known. */
export function broadcastShapes(shapes: readonly (readonly Dim[] | undefined)[]): Dim[] | undefined {
  const rank = Math.max(...shapes.map((shape) => shape?.length ?? -1));
  if (rank < 0 || shapes.some((shape) => shape === undefined)) return undefined;
  const dimAt = (shape: readonly Dim[], axis: number): Dim =>
    axis < rank - shape.length ? 1 : shape[axis - rank + shape.length];
  return Array.from({ length: rank }, (_, axis) =>
    shapes.map((shape) => dimAt(shape!, axis)).reduce(broadcastDim),
  );
}

function splitProduct(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let current = "";
  for (const char of text) {
    if (char === "·" && depth === 0) {
      parts.push(current);
      current = "";
      continue;
    }
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    current += char;
  }
  return [...parts, current];
}
