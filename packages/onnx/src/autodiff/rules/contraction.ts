import { DgateError } from "@dgate/core";
import { string } from "../../graph/attribute.ts";
import { describeNode } from "../../graph/types.ts";
import { floatAttribute, intAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpTable } from "../vjp.ts";

/** A matrix of all rows: `[…, n]` as `[rows, n]`; `undefined` where n is not known. */
function rowsOf<T>(ops: DiffOps<T>, x: T): T | undefined {
  const shape = ops.shape(x);
  const width = shape?.at(-1);
  if (shape?.length === 2) return x;
  return typeof width === "number" ? ops.reshape(x, [-1, width]) : undefined;
}

/** Operands of MatMul with vectors as matrices, and the cotangent to match. */
function asMatrices<T>(ops: DiffOps<T>, { node, inputs: [a, b] }: Applied<T>, g: T): { a: T; b: T; g: T } {
  const [left, right] = [ops.rank(a!), ops.rank(b!)];
  if (left === undefined || right === undefined) {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: the ranks that ${describeNode(node)} multiplies are not known; declare them in the model's value_info.`,
    );
  }
  // The axis that a vector lacks in the result: the last one for b; then the last but one for a.
  const columns = right === 1 ? ops.unsqueeze(g, [-1]) : g;
  return {
    a: left === 1 ? ops.unsqueeze(a!, [0]) : a!,
    b: right === 1 ? ops.unsqueeze(b!, [1]) : b!,
    g: left === 1 ? ops.unsqueeze(columns, [-2]) : columns,
  };
}

/** g·Bᵀ; with one matrix for all rows as one product of matrices. */
const matmulLeft: Vjp = (ops, at, grad) => {
  const { a, b, g } = asMatrices(ops, at, grad);
  const rows = ops.rank(b) === 2 ? rowsOf(ops, g) : undefined;
  const found = rows
    ? ops.reshapeLike(ops.gemm(rows, b, { transB: true }), a)
    : ops.matmul(g, ops.swapLast(b, ops.rank(b)!));
  return ops.rank(at.inputs[0]!) === 1 ? flattenTo(ops, found, at.inputs[0]!) : found;
};

/** Aᵀ·g; with one matrix for all rows as one product of matrices. */
const matmulRight: Vjp = (ops, at, grad) => {
  const { a, b, g } = asMatrices(ops, at, grad);
  const [left, right] = ops.rank(b) === 2 ? [rowsOf(ops, a), rowsOf(ops, g)] : [];
  const found =
    left && right ? ops.gemm(left, right, { transA: true }) : ops.matmul(ops.swapLast(a, ops.rank(a)!), g);
  return ops.rank(at.inputs[1]!) === 1 ? flattenTo(ops, found, at.inputs[1]!) : found;
};

/** The gradient of a vector: the sum over all matrices that it was in, without the axis that was added. */
function flattenTo<T>(ops: DiffOps<T>, x: T, vector: T): T {
  const rank = ops.rank(x)!; // of matrices whose ranks are known
  const summed = ops.sum(
    x,
    Array.from({ length: rank - 2 }, (_, axis) => axis),
    false,
  );
  return ops.reshapeLike(summed, vector);
}

interface GemmForm<T> {
  readonly a: T;
  readonly b: T;
  readonly alpha: number;
  readonly transA: boolean;
  readonly transB: boolean;
}

function gemmForm<T>({ node, inputs: [a, b] }: Applied<T>): GemmForm<T> {
  return {
    a: a!,
    b: b!,
    alpha: floatAttribute(node, "alpha", 1),
    transA: intAttribute(node, "transA", 0) !== 0,
    transB: intAttribute(node, "transB", 0) !== 0,
  };
}

/** α·g·Bᵀ, or its transpose. */
const gemmLeft: Vjp = (ops, at, g) => {
  const { b, alpha, transA, transB } = gemmForm(at);
  return transA
    ? ops.gemm(b, g, { transA: transB, transB: true, alpha })
    : ops.gemm(g, b, { transB: !transB, alpha });
};

/** α·Aᵀ·g, or its transpose. */
const gemmRight: Vjp = (ops, at, g) => {
  const { a, alpha, transA, transB } = gemmForm(at);
  return transB
    ? ops.gemm(g, a, { transA: true, transB: transA, alpha })
    : ops.gemm(a, g, { transA: !transA, alpha });
};

interface EinsumTerms {
  readonly inputs: readonly string[];
  readonly output: string;
}

/** The terms of an Einsum with its output written out, and letters for an ellipsis where ranks are known. */
function einsumTerms<T>(ops: DiffOps<T>, { node, inputs: operands }: Applied<T>): EinsumTerms {
  const [left = "", right] = stringAttribute(node, "equation", "").replaceAll(/\s/g, "").split("->");
  const inputs = left.split(",");
  const letters = left.replaceAll(/[.,]/g, "").split("");
  const once = letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter));
  const output = right ?? (left.includes("...") ? "..." : "") + once.sort().join("");
  const ranks = operands.map((operand) => operand && ops.rank(operand));
  if (!left.includes("...") || ranks.includes(undefined)) return { inputs, output };
  const hidden = inputs.map((term, i) => (term.includes("...") ? ranks[i]! + 3 - term.length : 0));
  const count = Math.max(...hidden);
  const free = freeLetters(left + output, count);
  return {
    // The axes of ellipses are aligned at their ends.
    inputs: inputs.map((term, i) => term.replace("...", free.slice(count - hidden[i]!))),
    output: output.replace("...", free),
  };
}

/** Letters that an equation does not have. */
const freeLetters = (equation: string, count: number): string =>
  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    .split("")
    .filter((letter) => !equation.includes(letter))
    .slice(0, count)
    .join("");

/** The equation with output and input exchanged; axes that only this input has are repeated. */
const einsumInput =
  (index: number): Vjp =>
  (ops, at, g) => {
    const { inputs, output } = einsumTerms(ops, at);
    const own = inputs[index]!;
    const letters = own.replaceAll("...", "").split("");
    if (new Set(letters).size < letters.length) {
      throw new DgateError(
        "UNSUPPORTED",
        `gradients: ${describeNode(at.node)} takes a diagonal (domain "ai.onnx"), which has no derivative rule.`,
      );
    }
    const others = inputs.flatMap((term, i) => (i === index ? [] : [{ term, x: at.inputs[i]! }]));
    const there = new Set([output, ...others.map(({ term }) => term)].join(""));
    const kept = own.replaceAll(/[a-zA-Z]/g, (letter) => (there.has(letter) ? letter : ""));
    const equation = `${[output, ...others.map(({ term }) => term)].join(",")}->${kept}`;
    const found =
      equation === `${kept}->${kept}`
        ? g
        : ops.call("Einsum", [g, ...others.map(({ x }) => x)], { equation: string(equation) });
    if (kept === own) return stretched(ops, found, at.inputs[index]!);
    // Counted from the back: an ellipsis may stand in front.
    const missing = letters.flatMap((letter, i) => (there.has(letter) ? [] : [i - letters.length]));
    return ops.expandLike(ops.unsqueeze(found, missing), at.inputs[index]!);
  };

/** A gradient of the operand's rank: an axis of size 1 of the other operands was repeated along the operand's own. */
function stretched<T>(ops: DiffOps<T>, x: T, operand: T): T {
  const own = ops.shape(operand);
  return ops.shape(x)?.some((size, axis) => size === 1 && own?.[axis] !== 1) ? ops.expandLike(x, operand) : x;
}

/** Products of matrices. */
export const contraction: VjpTable = {
  MatMul: [matmulLeft, matmulRight],
  Gemm: [gemmLeft, gemmRight, (ops, { node }, g) => ops.scale(g, floatAttribute(node, "beta", 1))],
  Einsum: einsumInput,
};
