import type { Graph, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { dequantize } from "./quantization.ts";
import { quantizationOf } from "./quantization-of.ts";

/**
 * An initializer as the real numbers that its readers make of it; a float one as it is. Weights that are packed into bytes come
 * with the numbers of each byte on a last axis.
 */
export function realTensor(graph: Graph, value: Value): Tensor {
  const data = value.data!;
  const quantization = quantizationOf(graph, value);
  if (!quantization) return data;
  const { packedBits } = quantization;
  const shape = packedBits === 0 ? data.shape : [...data.shape, 8 / packedBits];
  return tensorOf("float32", shape, dequantize(data, quantization));
}
