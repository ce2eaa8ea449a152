import { isBlockwise } from "../ops/quantized-forms.ts";
import { dequantize } from "../quantization/quantization.ts";
import { quantizationOf } from "../quantization/quantization-of.ts";
import type { DenseWeights } from "./dense-weights.ts";
import type { SliceContext } from "./slice-context.ts";

/** The weights of MatMulNBits and MatMulBnb4: rows of B are output channels. */
export function packedWeights(context: SliceContext): DenseWeights | undefined {
  const { node, view } = context;
  if (!isBlockwise(node, "MatMulNBits") && !isBlockwise(node, "MatMulBnb4")) return undefined;
  const weight = node.inputs[1];
  const quantization = weight?.data && quantizationOf(view.graph, weight);
  const shape = view.shape(0);
  const inputs = shape?.at(-1);
  // An index of the inputs' order is not followed: its node's inputs cannot go, whatever the weights.
  if (!quantization || !weight.data || typeof inputs !== "number" || node.inputs[4]) return undefined;
  const numbers = dequantize(weight.data, quantization);
  const [outputs, blocks, block] = quantization.shape;
  const stride = blocks! * block!;
  return {
    dataAxis: shape!.length - 1,
    outputAxis: shape!.length - 1,
    groups: 1,
    inputs,
    outputs: outputs!,
    uneven: undefined,
    total: (k, j) => numbers[j * stride + k]!,
    connected: (k, j) => numbers[j * stride + k] !== 0,
  };
}
