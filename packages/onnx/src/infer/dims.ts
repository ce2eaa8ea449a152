import type { Dim } from "../graph/graph.ts";
import {
  add,
  constantOf,
  divide,
  evaluate,
  multiply,
  numberOf,
  parse,
  type Polynomial,
  print,
} from "./polynomial.ts";

function polynomialOf(dim: Dim): Polynomial | undefined {
  if (typeof dim === "number") return constantOf(dim);
  return dim === undefined ? undefined : parse(dim);
}

function dimOf(polynomial: Polynomial | undefined): Dim {
  return polynomial && (numberOf(polynomial) ?? print(polynomial));
}

/** The one way in which this package writes a symbolic size; `past + 1` and `(1 + past)` are the same. */
export const canonicalDim = (dim: Dim): Dim => (typeof dim === "string" ? dimOf(parse(dim)) : dim);

/** Product of dimensions; unknown as soon as one of them is. */
export function multiplyDims(dims: readonly Dim[]): Dim {
  return dimOf(
    dims.reduce<Polynomial | undefined>((product, dim) => {
      const factor = product && polynomialOf(dim);
      return factor && product && multiply(product, factor);
    }, constantOf(1)),
  );
}

/** Exact quotient, `undefined` where there is none. */
export function divideDims(dividend: Dim, divisor: Dim): Dim {
  const a = polynomialOf(dividend);
  const b = polynomialOf(divisor);
  return a && b && dimOf(divide(a, b));
}

/**
 * ⌊dividend / divisor⌋ of a size ≥ 0. What the divisor divides is taken out, so that ⌊(height − 2)/2⌋ + 1 and ⌊height/2⌋ are the
 * same; the rest is a name that stands for its quotient.
 */
export function floorDivideDims(dividend: Dim, divisor: number): Dim {
  if (dividend === undefined || !(divisor > 0)) return undefined;
  if (typeof dividend === "number") return Math.floor(dividend / divisor);
  const exact = divideDims(dividend, divisor);
  const polynomial = polynomialOf(dividend);
  if (exact !== undefined || !polynomial) return exact;
  const rest = new Map<string, number>();
  for (const [key, value] of polynomial) {
    const left = key === "" ? ((value % divisor) + divisor) % divisor : value % divisor === 0 ? 0 : value;
    if (left !== 0) rest.set(key, left);
  }
  const text = String(dimOf(rest));
  const whole = divideDims(subtractDims(dividend, text), divisor);
  return text.length > 200 ? undefined : addDims([whole, `⌊${text}/${divisor}⌋`]);
}

/** Sum of dimensions. */
export function addDims(dims: readonly Dim[]): Dim {
  return dimOf(
    dims.reduce<Polynomial | undefined>((sum, dim) => {
      const term = sum && polynomialOf(dim);
      return term && sum && add(sum, term);
    }, constantOf(0)),
  );
}

/** Difference of two dimensions. */
export function subtractDims(a: Dim, b: Dim): Dim {
  const left = polynomialOf(a);
  const right = polynomialOf(b);
  return left && right && dimOf(add(left, right, -1));
}

/** A dimension's size with a number for every name. */
export function sizeOfDim(dim: Dim, sizeOf: (name: string) => number): number | undefined {
  const polynomial = polynomialOf(dim);
  return polynomial && evaluate(polynomial, sizeOf);
}

/** What two sources know about one dimension: a number wins over a name, a name over nothing. */
export function mergeDim(first: Dim, second: Dim): Dim {
  if (typeof first === "number") return first;
  if (typeof second === "number") return second;
  return first ?? second;
}

/**
 * NumPy broadcasting of two dimensions; a size other than 1 decides over a symbol. Two symbols are taken to be equal: exporters
 * give one length several names (`sequence_length`, `total_sequence_length`), and do not stretch a named axis.
 */
function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === 1) return b;
  if (b === 1) return a;
  if (typeof a === "number") return a;
  if (typeof b === "number") return b;
  return a ?? b;
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
