import { erf, roundEven } from "../../src/ops/scalar-functions.ts";
import { expanded, mapped, zipped } from "./broadcast.ts";
import type { Call, Kernel } from "./call.ts";
import { type Float64Tensor, isFloat } from "./tensor.ts";

type Unary = (x: number) => number;
type Binary = (a: number, b: number) => number;

const truth = (value: boolean): number => (value ? 1 : 0);
const softplus: Unary = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** Functions of one number without parameters. */
const plain: { readonly [op: string]: Unary } = {
  Abs: Math.abs,
  Acos: Math.acos,
  Acosh: Math.acosh,
  Asin: Math.asin,
  Asinh: Math.asinh,
  Atan: Math.atan,
  Atanh: Math.atanh,
  Ceil: Math.ceil,
  Cos: Math.cos,
  Cosh: Math.cosh,
  Erf: erf,
  Exp: Math.exp,
  Floor: Math.floor,
  HardSwish: (x) => x * clamp(x / 6 + 0.5, 0, 1),
  Log: Math.log,
  Mish: (x) => x * Math.tanh(softplus(x)),
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(0, x),
  Round: roundEven,
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Sign: Math.sign,
  Sin: Math.sin,
  Sinh: Math.sinh,
  Softplus: softplus,
  Softsign: (x) => x / (1 + Math.abs(x)),
  Sqrt: Math.sqrt,
  Tan: Math.tan,
  Tanh: Math.tanh,
};

/** Functions of one number with parameters. */
const tuned: { readonly [op: string]: (call: Call) => Unary } = {
  Celu: (call) => {
    const alpha = call.float("alpha", 1);
    return (x) => (x > 0 ? x : alpha * Math.expm1(x / alpha));
  },
  Clip: (call) => {
    const low = call.inputs[1]?.data[0] ?? call.float("min", -Infinity);
    const high = call.inputs[2]?.data[0] ?? call.float("max", Infinity);
    return (x) => clamp(x, low, high);
  },
  Elu: (call) => {
    const alpha = call.float("alpha", 1);
    return (x) => (x > 0 ? x : alpha * Math.expm1(x));
  },
  Gelu: (call) =>
    call.string("approximate", "none") === "tanh"
      ? (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      : (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  HardSigmoid: (call) => {
    const alpha = call.float("alpha", 0.2);
    const beta = call.float("beta", 0.5);
    return (x) => clamp(alpha * x + beta, 0, 1);
  },
  LeakyRelu: (call) => {
    const alpha = call.float("alpha", 0.01);
    return (x) => (x < 0 ? alpha * x : x);
  },
  Selu: (call) => {
    const alpha = call.float("alpha", 1.6732632423543772);
    const gamma = call.float("gamma", 1.0507009873554805);
    return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
  },
  Shrink: (call) => {
    const lambda = call.float("lambd", 0.5);
    const bias = call.float("bias", 0);
    return (x) => (x < -lambda ? x + bias : x > lambda ? x - bias : 0);
  },
  Swish: (call) => {
    const alpha = call.float("alpha", 1);
    return (x) => x / (1 + Math.exp(-alpha * x));
  },
  ThresholdedRelu: (call) => {
    const alpha = call.float("alpha", 1);
    return (x) => (x > alpha ? x : 0);
  },
};

/** Functions of two numbers that give the type of the first. */
const arithmetic: { readonly [op: string]: Binary } = {
  Add: (a, b) => a + b,
  Mul: (a, b) => a * b,
  Sub: (a, b) => a - b,
};

/** Functions of two numbers that give a bool. */
const predicates: { readonly [op: string]: Binary } = {
  And: (a, b) => truth(a !== 0 && b !== 0),
  Equal: (a, b) => truth(a === b),
  Greater: (a, b) => truth(a > b),
  GreaterOrEqual: (a, b) => truth(a >= b),
  Less: (a, b) => truth(a < b),
  LessOrEqual: (a, b) => truth(a <= b),
  Or: (a, b) => truth(a !== 0 || b !== 0),
  Xor: (a, b) => truth((a !== 0) !== (b !== 0)),
};

const folded =
  (f: Binary): ((call: Call) => Float64Tensor) =>
  (call) =>
    call.inputs.map((_, i) => call.input(i)).reduce((a, b) => zipped(a, b, f));

const sum = folded((a, b) => a + b);

/** Operators of two or more inputs that look at the type, or at all of their inputs at once. */
const others: { readonly [op: string]: Kernel } = {
  // Integers are divided towards zero.
  Div: (call) => {
    const a = call.input(0);
    return zipped(a, call.input(1), isFloat(a.dtype) ? (x, y) => x / y : (x, y) => Math.trunc(x / y));
  },
  IsInf: (call) => {
    const positive = call.int("detect_positive", 1) !== 0;
    const negative = call.int("detect_negative", 1) !== 0;
    const f: Unary = (x) => truth((positive && x === Infinity) || (negative && x === -Infinity));
    return mapped(call.input(0), f, "bool");
  },
  IsNaN: (call) => mapped(call.input(0), (x) => truth(Number.isNaN(x)), "bool"),
  Max: folded(Math.max),
  Mean: (call) => mapped(sum(call), (x) => x / call.inputs.length),
  Min: folded(Math.min),
  // The sign of the divisor, or with fmod that of the dividend.
  Mod: (call) =>
    zipped(
      call.input(0),
      call.input(1),
      call.int("fmod", 0) === 0 ? (a, b) => a - b * Math.floor(a / b) : (a, b) => a % b,
    ),
  Not: (call) => mapped(call.input(0), (x) => truth(x === 0), "bool"),
  Pow: (call) => {
    const base = call.input(0);
    return zipped(base, call.input(1), isFloat(base.dtype) ? (a, b) => a ** b : (a, b) => Math.trunc(a ** b));
  },
  PRelu: (call) => {
    const x = call.input(0);
    return zipped(x, expanded(call.input(1), x.shape), (a, slope) => (a < 0 ? slope * a : a));
  },
  Sum: sum,
};

const rows = <T>(table: { readonly [op: string]: T }, kernelOf: (row: T) => Kernel): [string, Kernel][] =>
  Object.entries(table).map(([op, row]) => [op, kernelOf(row)]);

/** Operators that work element by element. */
export const elementwiseKernels: { readonly [op: string]: Kernel } = {
  ...Object.fromEntries([
    ...rows(plain, (f) => (call) => mapped(call.input(0), f)),
    ...rows(tuned, (f) => (call) => mapped(call.input(0), f(call))),
    ...rows(arithmetic, (f) => (call) => zipped(call.input(0), call.input(1), f)),
    ...rows(predicates, (f) => (call) => zipped(call.input(0), call.input(1), f, "bool")),
  ]),
  ...others,
};
