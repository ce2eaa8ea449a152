import { float, int } from "../graph/attribute.ts";
import type { Value } from "../graph/graph.ts";
import { NodeView } from "../infer/view.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import type { PatternReader } from "./pattern.ts";

/** (x − μ) / √(σ² + ε) over the last axis of x, with the factor that is multiplied to it and the term that is added. */
interface Norm {
  readonly x: Value;
  readonly epsilon: number;
  readonly scale?: Value;
  readonly bias?: Value;
}

/**
 * Puts LayerNormalization in the place of
 *
 *     c = x − ReduceMean(x),  y = c / √(ReduceMean(c²) + ε) · γ + β
 *
 * over the last axis: c² by Pow or Mul, from the same c or a twin; divided by the root or multiplied by its reciprocal; γ and β or one of
 * them or none; also as Keras writes it, with F = γ / √(σ² + ε): y = x · F + (β − μ · F).
 *
 * @returns the number of normalisations
 */
export function raiseLayerNorms(pattern: PatternReader): number {
  let edits = 0;
  for (const { op, domain, outputs } of pattern.graph.sorted()) {
    const value = outputs[0];
    if (domain !== "" || !value || !pattern.graph.producer(value)) continue;
    const norm =
      op === "Add"
        ? kerasNorm(pattern, value)
        : op === "Div" || op === "Mul"
          ? normed(pattern, value)
          : undefined;
    if (norm && raise(pattern, value, norm)) edits += 1;
  }
  return edits;
}

function raise(pattern: PatternReader, value: Value, norm: Norm): boolean {
  const width = widthOf(pattern, norm.x);
  if (width === undefined || (norm.scale && !isVector(pattern, norm.scale, width))) return false;
  if (norm.bias) return isVector(pattern, norm.bias, width) && put(pattern, value, norm, width);
  const scaled = norm.scale ? undefined : following(pattern, value, "Mul", width);
  const whole = { ...norm, ...(scaled && { scale: scaled.operand }) };
  const shifted = following(pattern, scaled?.value ?? value, "Add", width);
  if (shifted) return put(pattern, shifted.value, { ...whole, bias: shifted.operand }, width);
  return put(pattern, scaled?.value ?? value, whole, width);
}

function put(
  pattern: PatternReader,
  value: Value,
  { x, epsilon, scale, bias }: Norm,
  width: number,
): boolean {
  const leaves = [x, scale, bias].filter((leaf) => leaf !== undefined);
  return pattern.raise(value, leaves, () => ({
    op: "LayerNormalization",
    inputs: [x, scale ?? ones(pattern, value, width), ...(bias ? [bias] : [])],
    attributes: { axis: int(-1), epsilon: float(epsilon) },
  }));
}

function ones({ graph }: PatternReader, { name }: Value, width: number): Value {
  const data = tensorOf("float32", [width], new Float32Array(width).fill(1));
  return graph.addInitializer(graph.freshName(`${name}/scale`), data);
}

/** The only use of a value, if it is this operator with a vector of the normalised width. */
export function following(
  pattern: PatternReader,
  value: Value,
  op: string,
  width: number,
): { readonly value: Value; readonly operand: Value } | undefined {
  const node = pattern.user(value);
  const output = node?.outputs[0];
  if (node?.op !== op || node.domain !== "" || !output) return undefined;
  const operand = pattern.orders(output, op).find(([own]) => own === pattern.source(value))?.[1];
  return operand && isVector(pattern, operand, width) ? { value: output, operand } : undefined;
}

/** The size of the last axis of float32 data. */
export function widthOf({ inference }: PatternReader, x: Value): number | undefined {
  const type = inference.types.get(x);
  const width = type?.dtype === "float32" ? type.shape?.at(-1) : undefined;
  return typeof width === "number" ? width : undefined;
}

function isVector({ inference }: PatternReader, value: Value, width: number): boolean {
  const shape = inference.types.get(value)?.shape;
  return shape?.length === 1 && shape[0] === width;
}

/** c / √(σ² + ε), or c · F */
function normed(pattern: PatternReader, value: Value): Norm | undefined {
  const [above, below] = pattern.inputs(value, "Div") ?? [];
  const root = below && varianceUnder(pattern, inRoot(pattern, below));
  if (above && root) return centred(pattern, above) === root.x ? root : undefined;
  for (const [c, factor] of pattern.orders(value, "Mul")) {
    const x = centred(pattern, c);
    const norm = x && scaledInverse(pattern, factor);
    if (norm && norm.x === x) return norm;
  }
  return undefined;
}

/** x · F + (β − μ · F) */
function kerasNorm(pattern: PatternReader, value: Value): Norm | undefined {
  for (const [product, shift] of pattern.orders(value, "Add")) {
    const [bias, moved] = pattern.inputs(shift, "Sub") ?? [];
    for (const [x, factor] of bias ? pattern.orders(product, "Mul") : []) {
      const norm = scaledInverse(pattern, factor);
      const isShift = pattern
        .orders(moved, "Mul")
        .some(([mean, same]) => same === factor && meanOf(pattern, mean) === x);
      if (bias && norm?.x === x && isShift) return { ...norm, bias };
    }
  }
  return undefined;
}

/** F = 1 / √(σ² + ε), or that times γ */
function scaledInverse(pattern: PatternReader, value: Value): Norm | undefined {
  const plain = inverse(pattern, value);
  if (plain) return plain;
  for (const [factor, scale] of pattern.orders(value, "Mul")) {
    const norm = inverse(pattern, factor);
    if (norm) return { ...norm, scale };
  }
  return undefined;
}

function inverse(pattern: PatternReader, value: Value): Norm | undefined {
  const [one, below] = pattern.inputs(value, "Div") ?? [];
  const divisor = one && pattern.scalar(one) === 1 ? below : pattern.inputs(value, "Reciprocal")?.[0];
  const [base, exponent] = pattern.inputs(value, "Pow") ?? [];
  const sum = pattern.scalar(exponent) === -0.5 ? base : inRoot(pattern, divisor);
  return varianceUnder(pattern, sum);
}

/** The value that a value is the square root of. */
export function inRoot(pattern: PatternReader, value: Value | undefined): Value | undefined {
  const [base, exponent] = pattern.inputs(value, "Pow") ?? [];
  return pattern.scalar(exponent) === 0.5 ? base : pattern.inputs(value, "Sqrt")?.[0];
}

/** σ² + ε */
function varianceUnder(pattern: PatternReader, sum: Value | undefined): Norm | undefined {
  for (const [variance, small] of pattern.orders(sum, "Add")) {
    const epsilon = pattern.scalar(small);
    const square = meanOf(pattern, variance);
    const x = square && epsilon !== undefined ? squareOf(pattern, square) : undefined;
    if (x && epsilon !== undefined) return { x, epsilon };
  }
  return undefined;
}

/** The x of which a value is (x − μ)². */
function squareOf(pattern: PatternReader, value: Value): Value | undefined {
  const [base, exponent] = pattern.inputs(value, "Pow") ?? [];
  if (base) return pattern.scalar(exponent) === 2 ? centred(pattern, base) : undefined;
  const [a, b] = pattern.inputs(value, "Mul") ?? [];
  const x = a && centred(pattern, a);
  return x && b && centred(pattern, b) === x ? x : undefined;
}

/** The x of which a value is x − μ. */
function centred(pattern: PatternReader, value: Value): Value | undefined {
  const [x, mean] = pattern.inputs(value, "Sub") ?? [];
  return x && mean && meanOf(pattern, mean) === x ? x : undefined;
}

/** The x of which a value is the mean over the last axis, which is kept. */
export function meanOf(pattern: PatternReader, value: Value): Value | undefined {
  const node = pattern.producer(value, "ReduceMean");
  if (!node || intAttribute(node, "keepdims", 1) === 0) return undefined;
  const view = new NodeView(pattern.graph, node, pattern.inference);
  const [axes, rank] = [view.axes(1), view.shape(0)?.length];
  if (!axes || axes === "unknown" || axes.length !== 1 || rank === undefined) return undefined;
  return frontAxis(axes[0]!, rank) === rank - 1 ? pattern.source(node.inputs[0]!) : undefined;
}
