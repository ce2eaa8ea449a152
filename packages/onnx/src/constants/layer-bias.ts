import { describeNode, type Node } from "../graph/graph.ts";
import { floatAttribute } from "../ops/attributes.ts";
import type { SliceContext } from "./slice-context.ts";

const biasInputs: Readonly<Record<string, number>> = {
  Gemm: 2,
  Conv: 2,
  ConvTranspose: 2,
  FusedGemm: 2,
  FusedConv: 2,
  Attention: 2,
  MatMulNBits: 5,
};

/** The input of a contraction that is its bias, if it takes one. */
export function biasInput({ op }: Node): number | undefined {
  return Object.hasOwn(biasInputs, op) ? biasInputs[op] : undefined;
}

/** Gemm and its fused form, whose bias is scaled by β. */
export function isGemm({ op }: Node): boolean {
  return op === "Gemm" || op === "FusedGemm";
}

/** The bias of each output channel (β·C of Gemm); zeros where there is none, NaN where it differs from row to row. */
export function biasOf(context: SliceContext, outputs: number): Float64Array | undefined {
  // A quantized layer has its bias where the float operator would have it, after the operands.
  const { form } = context;
  const index = form?.bias === undefined ? biasInput(context.node) : form.operands.length;
  if (index === undefined || !context.node.inputs[index]) return new Float64Array(outputs);
  const numbers = context.numbers(index);
  const shape = context.view.shape(index);
  if (!numbers || !shape) return undefined;
  const beta = isGemm(context.node) ? floatAttribute(context.node, "beta", 1) : 1;
  if (beta === 0) return new Float64Array(outputs);
  if (numbers.length === 1) return new Float64Array(outputs).fill(beta * numbers[0]!);
  if (numbers.length !== outputs || shape.at(-1) !== outputs) return undefined;
  return Float64Array.from(numbers, (number) => beta * number);
}

/** Layers that go on with the sum themselves (an activation, the attention), so that nothing can be added after them. */
const closed: ReadonlySet<string> = new Set(["FusedGemm", "FusedConv", "Attention"]);

/** Why no constant can be added to a layer's sums, if none can. */
export function whyNoBias(context: SliceContext, outputs: number): string | undefined {
  const { node } = context;
  if (!closed.has(node.op) || biasOf(context, outputs)) return undefined;
  return `the bias of ${describeNode(node)} is computed, or not the same for all rows, and cannot take it`;
}
