import type { Node, Value } from "../graph/graph.ts";
import { floatAttribute } from "../ops/attributes.ts";
import { sameDims } from "../operators/diff-ops.ts";
import type { GraphDiffOps } from "../operators/graph-diff-ops.ts";

/**
 * Saves passes over tensors: a sum of squares is one operator, and what is added to a product of matrices goes into its Gemm. Names
 * of graph outputs stay.
 *
 * @returns the number of nodes that were replaced
 */
export function simplify(ops: GraphDiffOps): number {
  return sumSquares(ops) + addIntoGemm(ops);
}

/** `ReduceSum(x·x)` as `ReduceSumSquare(x)`. */
function sumSquares(ops: GraphDiffOps): number {
  const { graph } = ops;
  let edits = 0;
  for (const node of graph.nodes("ReduceSum")) {
    const [squares, axes] = node.inputs;
    const product = squares && graph.producer(squares);
    const [a, b] = product?.op === "Mul" && product.domain === "" ? product.inputs : [];
    if (!a || a !== b || graph.uses(squares!).length !== 1) continue;
    const result = ops.call("ReduceSumSquare", axes ? [a, axes] : [a], Object.fromEntries(node.attributes));
    edits += replace(ops, node, result);
  }
  return edits;
}

/** `Gemm(A, B) + C` as `Gemm(A, B, C)`, with a Reshape of the product in between too. */
function addIntoGemm(ops: GraphDiffOps): number {
  const { graph } = ops;
  let edits = 0;
  for (const add of graph.sorted()) {
    if (add.op !== "Add" || add.domain !== "" || !graph.producer(add.outputs[0]!)) continue;
    const found = productOf(ops, add, 0) ?? productOf(ops, add, 1);
    if (!found) continue;
    const { gemm, reshape, other } = found;
    const width = ops.shape(gemm.outputs[0]!)?.at(-1);
    if (reshape && typeof width !== "number") continue;
    const rows = reshape ? ops.reshape(other, [-1, Number(width)]) : other;
    const sum = ops.call("Gemm", [gemm.inputs[0], gemm.inputs[1], rows], Object.fromEntries(gemm.attributes));
    edits += replace(
      ops,
      add,
      reshape ? ops.call("Reshape", [sum, reshape.inputs[1]], Object.fromEntries(reshape.attributes)) : sum,
    );
  }
  return edits;
}

interface AddedProduct {
  readonly gemm: Node;
  readonly reshape: Node | undefined;
  readonly other: Value;
}

function productOf(ops: GraphDiffOps, { inputs }: Node, index: 0 | 1): AddedProduct | undefined {
  const { graph } = ops;
  const [value, other] = [inputs[index], inputs[1 - index]];
  if (!value || !other || value === other || graph.uses(value).length !== 1) return undefined;
  const [own, others] = [ops.shape(value), ops.shape(other)];
  if (!own || !others || !sameDims(own, others)) return undefined;
  const last = graph.producer(value);
  const reshape = last?.op === "Reshape" && last.domain === "" ? last : undefined;
  const gemm = reshape ? graph.producer(reshape.inputs[0]!) : last;
  if (gemm?.op !== "Gemm" || gemm.domain !== "" || gemm.inputs[2] || floatAttribute(gemm, "beta", 1) !== 1)
    return undefined;
  if (reshape && graph.uses(gemm.outputs[0]!).length !== 1) return undefined;
  return { gemm, reshape, other };
}

/** Puts a value in the place of a node's only output, unless it would have to bear two names; the number of nodes replaced. */
function replace({ graph }: GraphDiffOps, node: Node, result: Value): number {
  const output = node.outputs[0]!;
  const isOutput = (value: Value): boolean => graph.uses(value).some((use) => use.node === undefined);
  const named = isOutput(output);
  if (named && isOutput(result)) return 0;
  graph.replaceUses(output, result);
  graph.remove(node);
  if (named) graph.rename(result, output.name);
  return 1;
}
