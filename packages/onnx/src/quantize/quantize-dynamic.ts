import type { Graph } from "../graph/graph.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { upgradeOpset } from "../training-form/upgrade-opset.ts";
import { codeFormat, type CodeFormat } from "./affine-codes.ts";
import { DynamicWriter } from "./dynamic-layers.ts";
import { findLayers, type FloatLayer, type QuantizableOperator } from "./float-layers.ts";
import { LayerWriter } from "./layer-writer.ts";
import { checkOption, layerChoice, type QuantizeLayerOptions } from "./quantize-options.ts";
import { constantBytes, quantizedNode, type QuantizeReport, unquantizedNode } from "./quantize-report.ts";

/** Options of `quantizeDynamic`. */
export interface DynamicQuantizeOptions extends QuantizeLayerOptions {
  /** Kinds of layers to quantize (default MatMul, Gemm and Gather; Conv on request). */
  readonly operators?: readonly QuantizableOperator[];
  /**
   * Type of the codes of MatMul and Gemm weights: symmetric int8 (default), the `_int8` and `_quantized` files of the hub, or uint8
   * with zero points. Tables are always uint8.
   */
  readonly weightType?: "int8" | "uint8";
  /**
   * A scale for each output channel (default), or one for the whole weight. Channels cost 4 bytes each and no time, a weight with one
   * large column loses no precision in the others, and a pruned model quantizes to the pruned codes.
   */
  readonly perChannel?: boolean;
  /** 7 bits for weights: for x86 CPUs without VNNI, whose native kernels saturate (default false; WASM never does). */
  readonly reduceRange?: boolean;
}

/** DynamicQuantizeLinear came with it. */
const oldestOpset = 11;

/** Largest sum of integers that a kernel holds. */
const largestSum = 2 ** 31 - 1;

/**
 * A copy of a float32 model with 8-bit weights, in the form of the `_quantized`, `_int8` and `_uint8` files of the Hugging Face hub (onnxruntime's
 * `quantize_dynamic`), a quarter of the size. Data is rounded to 8 bits as the model runs:
 *
 *     DynamicQuantizeLinear(x) → MatMulInteger(x, W) → Cast → Mul(scale of x · scale of W) [→ Add bias]
 *
 * Layers that read the same value share its quantization, layers with the same weight share its codes (also in the branches of an
 * If). `Gather` of a table becomes Gather of its codes and DequantizeLinear; a table that a MatMul reads too, transposed, is stored
 * once. Fused operators without weights are left. A weight whose sums could pass 2³¹ stays. Prune first: what was removed then
 * widens no scale.
 *
 * A model of an operator set before 11 is brought to 18.
 *
 * @returns the model, and what was quantized, what was not and why, and bytes before and after
 * @throws DgateError `OPTION` and `NO_MATCH` for options, `DATA` naming a weight with NaN or infinity, `UNSUPPORTED` for an operator
 * set that cannot be upgraded
 */
export function quantizeDynamic(
  graph: Graph,
  options: DynamicQuantizeOptions = {},
): { graph: Graph; report: QuantizeReport } {
  const { operators = ["MatMul", "Gemm", "Gather"], weightType = "int8" } = options;
  checkOption(
    ["int8", "uint8"].includes(weightType),
    `weightType must be int8 or uint8, got "${weightType}"`,
  );
  const choice = layerChoice(graph, { ...options, operators }, ["MatMul", "Gemm", "Conv", "Gather"]);
  const format = codeFormat(weightType, weightType === "int8", options.reduceRange ?? false);
  const work = normalise(graph);
  if ((work.opsets.get("") ?? 1) < oldestOpset) upgradeOpset(work);
  const { layers, skipped } = findLayers(work, choice);
  const deep = layers.filter((layer) => overflows(layer, format));
  const fitting = layers.filter((layer) => !deep.includes(layer));
  const report = {
    quantized: fitting.map(quantizedNode),
    skipped: [...skipped, ...deep.map(({ node }) => ({ node, reason: "its sums could pass 2^31" }))].map(
      unquantizedNode,
    ),
  };
  const writer = new DynamicWriter(new LayerWriter(work), {
    weights: format,
    perChannel: options.perChannel ?? true,
  });
  // Tables first: layers that share them take over their codes.
  for (const layer of fitting.filter(isTable)) writer.table(layer);
  for (const layer of fitting.filter((each) => !isTable(each))) writer.product(layer);
  denormalise(work);
  return {
    graph: work,
    report: { ...report, sizeBytes: { before: constantBytes(graph), after: constantBytes(work) } },
  };
}

const isTable = ({ operator }: FloatLayer): boolean => operator === "Gather";

/** Whether Σ (x − x₀)(w − w₀) over a layer's inputs may not fit 32 bits: codes of data are up to 255 from their zero. */
function overflows(
  { operator, tensor, outputsFirst }: FloatLayer,
  { low, high, middle }: CodeFormat,
): boolean {
  if (operator === "Gather") return false;
  const reach = middle === undefined ? high - low : high - middle;
  const [rows, ...rest] = tensor.shape;
  const depth = operator === "Conv" || outputsFirst ? rest.reduce((a, b) => a * b, 1) : rows!;
  return depth * 255 * reach > largestSum;
}
