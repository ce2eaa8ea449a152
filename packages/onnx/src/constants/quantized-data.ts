import { describeNode, type Graph, type Value } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import { isBlockwise, isDequantizeLinear } from "../ops/quantized-forms.ts";
import { quantizedLayer } from "../quantization/quantized-layer.ts";
import { isRearranging } from "../normal-form/normalise.ts";
import type { SliceContext } from "./slice-context.ts";

/**
 * Why a constant channel of a layer's data other than zero cannot be folded into a bias: the layer computes with rounded
 * numbers, and in integers where the runtime has kernels for them (also where only its weights are dequantized: onnxruntime
 * then rounds the data to 8 bits itself). `undefined` for a layer of floats.
 */
export function quantizedData(context: SliceContext): string | undefined {
  const { original, form, view } = context;
  const data = context.node.inputs[0];
  const rounds =
    form !== undefined ||
    (isBlockwise(original, "MatMulNBits") && intAttribute(original, "accuracy_level", 0) === 4) ||
    (original.domain === "" && quantizedLayer(view.graph, original) !== undefined) ||
    (data !== undefined && isDequantized(view.graph, data));
  return rounds
    ? `${describeNode(original)} computes with rounded numbers, to which a constant is not added exactly`
    : undefined;
}

/** Whether a value comes from integers, moved at most since. */
function isDequantized(graph: Graph, value: Value): boolean {
  const producer = graph.producer(value);
  const source = producer?.inputs[0];
  if (!producer || !source) return false;
  if (isDequantizeLinear(producer)) return source.data === undefined;
  return isRearranging(producer) && isDequantized(graph, source);
}
