import { float, int } from "../graph/attribute.ts";
import type { Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import type { PatternReader } from "../training-form/pattern.ts";
import { following, inRoot, meanOf, widthOf } from "../training-form/raise-layer-norm.ts";

/**
 * Puts SimplifiedLayerNormalization, onnxruntime's name for RMSNorm, in the place of
 *
 *     y = x / √(ReduceMean(x²) + ε) · γ
 *
 * over the last axis: x² by Pow or Mul; divided by the root or multiplied by its reciprocal; with γ or without.
 *
 * @returns the number of normalisations
 */
export function raiseRmsNorms(pattern: PatternReader): number {
  let edits = 0;
  for (const { op, domain, outputs } of pattern.graph.sorted()) {
    const value = outputs[0];
    if (domain !== "" || (op !== "Div" && op !== "Mul") || !value || !pattern.graph.producer(value)) continue;
    const norm = normed(pattern, value);
    if (norm && raise(pattern, value, norm)) edits += 1;
  }
  return edits;
}

interface RmsNorm {
  readonly x: Value;
  readonly epsilon: number;
}

function raise(pattern: PatternReader, value: Value, { x, epsilon }: RmsNorm): boolean {
  const width = widthOf(pattern, x);
  if (width === undefined) return false;
  const scaled = following(pattern, value, "Mul", width);
  const leaves = scaled ? [x, scaled.operand] : [x];
  return pattern.raise(scaled?.value ?? value, leaves, () => ({
    op: "SimplifiedLayerNormalization",
    inputs: [x, scaled?.operand ?? ones(pattern, value, width)],
    attributes: { axis: int(-1), epsilon: float(epsilon) },
  }));
}

function ones({ graph }: PatternReader, { name }: Value, width: number): Value {
  const data = tensorOf("float32", [width], new Float32Array(width).fill(1));
  return graph.addInitializer(graph.freshName(`${name}/scale`), data);
}

/** x / √(mean(x²) + ε) */
function normed(pattern: PatternReader, value: Value): RmsNorm | undefined {
  const [above, below] = pattern.inputs(value, "Div") ?? [];
  const divided = above && squareUnder(pattern, inRoot(pattern, below));
  if (divided) return divided.x === above ? divided : undefined;
  for (const [x, factor] of pattern.orders(value, "Mul")) {
    const norm = squareUnder(pattern, inverted(pattern, factor));
    if (norm?.x === x) return norm;
  }
  return undefined;
}

/** The s of which a value is 1 / √s. */
function inverted(pattern: PatternReader, value: Value): Value | undefined {
  const [base, exponent] = pattern.inputs(value, "Pow") ?? [];
  if (base) return pattern.scalar(exponent) === -0.5 ? base : undefined;
  const [one, below] = pattern.inputs(value, "Div") ?? [];
  const divisor = one && pattern.scalar(one) === 1 ? below : pattern.inputs(value, "Reciprocal")?.[0];
  return inRoot(pattern, divisor);
}

/** mean(x²) + ε */
function squareUnder(pattern: PatternReader, sum: Value | undefined): RmsNorm | undefined {
  for (const [mean, small] of pattern.orders(sum, "Add")) {
    const epsilon = pattern.scalar(small);
    const square = epsilon === undefined ? undefined : meanOf(pattern, mean);
    const x = square && rootOf(pattern, square);
    if (x && epsilon !== undefined) return { x, epsilon };
  }
  return undefined;
}

/** The x of which a value is x². */
function rootOf(pattern: PatternReader, value: Value): Value | undefined {
  const [base, exponent] = pattern.inputs(value, "Pow") ?? [];
  if (base) return pattern.scalar(exponent) === 2 ? base : undefined;
  const [a, b] = pattern.inputs(value, "Mul") ?? [];
  return a === b ? a : undefined;
}
