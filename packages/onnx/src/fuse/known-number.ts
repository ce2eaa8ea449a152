import type { Value } from "../graph/graph.ts";
import type { PatternReader } from "../training-form/pattern.ts";

/** How deep arithmetic on numbers is followed. */
const depthLimit = 12;

/**
 * The number that a value of one element always has: a constant, or what a graph computes from constants and known sizes, as the
 * `1 / √(size of a head)` of exported attention.
 */
export function knownNumber(
  pattern: PatternReader,
  value: Value | undefined,
  depth: number = depthLimit,
): number | undefined {
  if (!value || depth === 0) return undefined;
  const constant = pattern.scalar(value);
  if (constant !== undefined) return constant;
  const { types, contents } = pattern.inference;
  const type = types.get(value);
  if (!type?.shape || type.shape.length > 1 || (type.shape[0] ?? 1) !== 1) return undefined;
  const content = contents.get(value)?.[0];
  if (typeof content === "number") return content;
  const node = pattern.producer(value, "Cast", "Div", "Identity", "Mul", "Pow", "Reciprocal", "Sqrt");
  // Division of integers rounds.
  if (!node || type.dtype !== "float32") return undefined;
  const [a, b] = node.inputs.map((input) => knownNumber(pattern, input, depth - 1));
  return a === undefined ? undefined : evaluate(node.op, a, b);
}

function evaluate(op: string, a: number, b: number | undefined): number | undefined {
  if (op === "Sqrt") return Math.sqrt(a);
  if (op === "Reciprocal") return 1 / a;
  if (op === "Cast" || op === "Identity") return a;
  if (b === undefined) return undefined;
  return op === "Div" ? a / b : op === "Mul" ? a * b : a ** b;
}
