import { int } from "../graph/attribute.ts";
import type { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import type { Node, Value } from "../graph/graph.ts";

/**
 * Writes `x·W + b` with a matrix W as Gemm on all rows of x: the bias then costs no pass of its own over the activations, neither forwards nor
 * backwards. Names of graph outputs stay.
 *
 * @returns the number of layers that were changed
 */
export function foldBiases(ops: GraphDiffOps): number {
  const { graph } = ops;
  let edits = 0;
  for (const add of graph.nodes("Add")) {
    const parts = biasedProduct(ops, add);
    const output = add.outputs[0];
    if (!parts || !output) continue;
    const { product, bias } = parts;
    const [x, weight] = product.inputs;
    const width = ops.shape(x!)?.at(-1);
    if (typeof width !== "number") continue;
    const flat = ops.rank(x!) === 2;
    const rows = ops.call("Gemm", [flat ? x : ops.reshape(x!, [-1, width]), weight, bias]);
    const result = flat ? rows : withRows(ops, rows, x!, output);
    const isOutput = graph.uses(output).some((use) => use.node === undefined);
    graph.replaceUses(output, result);
    graph.remove(add);
    if (isOutput) graph.rename(result, output.name);
    edits += 1;
  }
  return edits;
}

/** `[rows, n]` with the leading axes of x: not with the shape of the output, which goes. */
function withRows(ops: GraphDiffOps, rows: Value, x: Value, output: Value): Value {
  const shape = ops.shape(output);
  const open = shape?.filter((dim) => typeof dim !== "number").length ?? Infinity;
  if (shape && open <= 1) {
    return ops.reshape(
      rows,
      shape.map((dim) => (typeof dim === "number" ? dim : -1)),
    );
  }
  const lead = ops.call("Shape", [x], { start: int(0), end: int(-1) });
  return ops.call("Reshape", [rows, ops.concat([lead, ops.int64([-1])], 0)]);
}

function biasedProduct(
  ops: GraphDiffOps,
  { inputs }: Node,
): { readonly product: Node; readonly bias: Value } | undefined {
  const { graph } = ops;
  for (const [index, value] of inputs.entries()) {
    const bias = inputs[1 - index];
    const product = value && graph.producer(value);
    if (!bias || product?.op !== "MatMul" || product.domain !== "" || graph.uses(value!).length !== 1)
      continue;
    const [x, weight] = product.inputs;
    const [rank, shape, sizes] = [ops.rank(x!), ops.sizes(weight!), ops.sizes(bias)];
    if (rank === undefined || rank < 2 || shape?.length !== 2) continue;
    if (sizes?.length === 1 && sizes[0] === shape[1]) return { product, bias };
  }
  return undefined;
}
