import type { NodeView } from "../infer/view.ts";
import { floatAttribute, stringAttribute } from "./attributes.ts";
import type { BinaryOp, UnaryOp } from "./families.ts";

/**
 * The function of an element-wise operator on one number, in float64; `undefined` if a parameter is computed at run time.
 * The caller rounds to the element type.
 */
export type ScalarFunction = (view: NodeView) => ((x: number) => number) | undefined;

const plain = (f: (x: number) => number): ScalarFunction => {
  return () => f;
};

/** x·Φ(x), or its tanh approximation. */
const gelu: ScalarFunction = (view) => {
  if (stringAttribute(view.node, "approximate", "none") === "tanh") {
    return (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  }
  return (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
};

/** min and max are attributes in older operator sets; either may be left out. */
const clip: ScalarFunction = (view) => {
  const bound = (input: number, name: string, open: number): number | undefined => {
    if (view.opset < 11) return floatAttribute(view.node, name, open);
    return view.input(input) ? view.numbers(input)?.[0] : open;
  };
  const low = bound(1, "min", -Infinity);
  const high = bound(2, "max", Infinity);
  return low === undefined || high === undefined ? undefined : (x) => Math.min(Math.max(x, low), high);
};

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Nearest integer, halves to even. */
export function roundEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Error function: power series for small |x|, continued fraction of erfc for large; relative error under 1e-14. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = x;
    let total = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
      term *= -(x * x) / n;
      total += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = 0;
  for (let n = 80; n >= 1; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / ((z + fraction) * Math.sqrt(Math.PI)));
}

/** One row per element-wise operator of one input. */
export const unaryFunctions: { readonly [Op in UnaryOp]: ScalarFunction } = {
  Abs: plain(Math.abs),
  Acos: plain(Math.acos),
  Acosh: plain(Math.acosh),
  Asin: plain(Math.asin),
  Asinh: plain(Math.asinh),
  Atan: plain(Math.atan),
  Atanh: plain(Math.atanh),
  Ceil: plain(Math.ceil),
  Celu: ({ node }) => {
    const alpha = floatAttribute(node, "alpha", 1);
    return (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
  },
  Clip: clip,
  Cos: plain(Math.cos),
  Cosh: plain(Math.cosh),
  Elu: ({ node }) => {
    const alpha = floatAttribute(node, "alpha", 1);
    return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
  },
  Erf: plain(erf),
  Exp: plain(Math.exp),
  Floor: plain(Math.floor),
  Gelu: gelu,
  HardSigmoid: ({ node }) => {
    const alpha = floatAttribute(node, "alpha", 0.2);
    const beta = floatAttribute(node, "beta", 0.5);
    return (x) => Math.max(0, Math.min(1, alpha * x + beta));
  },
  HardSwish: plain((x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))),
  Identity: plain((x) => x),
  LeakyRelu: ({ node }) => {
    const alpha = floatAttribute(node, "alpha", 0.01);
    return (x) => (x < 0 ? alpha * x : x);
  },
  Log: plain(Math.log),
  Mish: plain((x) => x * Math.tanh(softplus(x))),
  Neg: plain((x) => -x),
  Not: plain((x) => (x === 0 ? 1 : 0)),
  Reciprocal: plain((x) => 1 / x),
  Relu: plain((x) => Math.max(0, x)),
  Round: plain(roundEven),
  Selu: ({ node }) => {
    const alpha = floatAttribute(node, "alpha", 1.6732632423543772);
    const gamma = floatAttribute(node, "gamma", 1.0507009873554805);
    return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
  },
  Shrink: ({ node }) => {
    const lambda = floatAttribute(node, "lambd", 0.5);
    const bias = floatAttribute(node, "bias", 0);
    return (x) => (x < -lambda ? x + bias : x > lambda ? x - bias : 0);
  },
  Sigmoid: plain(sigmoid),
  Sign: plain(Math.sign),
  Sin: plain(Math.sin),
  Sinh: plain(Math.sinh),
  Softplus: plain(softplus),
  Softsign: plain((x) => x / (1 + Math.abs(x))),
  Sqrt: plain(Math.sqrt),
  Tan: plain(Math.tan),
  Tanh: plain(Math.tanh),
  ThresholdedRelu: ({ node }) => {
    const alpha = floatAttribute(node, "alpha", 1);
    return (x) => (x > alpha ? x : 0);
  },
};

const truth = (value: boolean): number => (value ? 1 : 0);

/** One row per broadcasting operator, folded from left to right over its inputs. `Mean` divides by their number at the end. */
export const binaryFunctions: { readonly [Op in BinaryOp]: (a: number, b: number) => number } = {
  Add: (a, b) => a + b,
  And: (a, b) => truth(a !== 0 && b !== 0),
  Div: (a, b) => a / b,
  Max: (a, b) => Math.max(a, b),
  Mean: (a, b) => a + b,
  Min: (a, b) => Math.min(a, b),
  Mod: (a, b) => a - b * Math.floor(a / b),
  Mul: (a, b) => a * b,
  Or: (a, b) => truth(a !== 0 || b !== 0),
  Pow: (a, b) => a ** b,
  Sub: (a, b) => a - b,
  Sum: (a, b) => a + b,
  Xor: (a, b) => truth((a !== 0) !== (b !== 0)),
};
