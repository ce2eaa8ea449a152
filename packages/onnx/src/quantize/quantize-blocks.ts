import { int } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { graphsWithin } from "../training-form/subgraphs.ts";
import { codeFormat } from "./affine-codes.ts";
import { blockCodes, type BlockFormat } from "./block-codes.ts";
import { DynamicWriter } from "./dynamic-layers.ts";
import { findLayers, type FloatLayer } from "./float-layers.ts";
import { LayerWriter, weightNumbers } from "./layer-writer.ts";
import { checkOption, layerChoice, type QuantizeLayerOptions } from "./quantize-options.ts";
import { constantBytes, quantizedNode, type QuantizeReport, unquantizedNode } from "./quantize-report.ts";
import { transposeInto } from "./transpose-matrix.ts";

/** Options of `quantizeBlocks`. */
export interface BlockQuantizeOptions extends QuantizeLayerOptions {
  /**
   * Kinds of layers to quantize (default MatMul and Gemm). With Gather, tables of embeddings become 8-bit codes, as `quantizeDynamic` makes
   * them: of a small model they are most of the bytes.
   */
  readonly operators?: readonly ("MatMul" | "Gemm" | "Gather")[];
  /** Bits of a weight: 4 (default) runs on onnxruntime 1.21 and newer; 8 on 1.30, and not yet on 1.22. */
  readonly bits?: 4 | 8;
  /** Weights that share a scale, along the inputs: a power of two from 16 to 256 (default 32). */
  readonly blockSize?: number;
  /** Whether zero is the middle code (default); otherwise every block has a zero point, half a byte more for each. */
  readonly symmetric?: boolean;
  /**
   * The least precision that kernels compute with: 1 float32, 2 float16, 3 bfloat16, 4 int8 (data is then rounded to 8 bits as the
   * model runs). Left out, the runtime chooses float32; with 8 bits it has fast native kernels for level 4 only.
   */
  readonly accuracyLevel?: 0 | 1 | 2 | 3 | 4;
}

/**
 * A copy of a float32 model with weights of 4 (or 8) bits in blocks, as the `_q4` files of the Hugging Face hub: MatMul and Gemm with a
 * constant weight become com.microsoft.MatMulNBits [→ Add bias]. Data stays float32. A block of 32 takes 16 bytes and 4 for its
 * scale: 5 bits a weight.
 *
 * Native kernels (and WebGPU) compute with the codes; the CPU code of onnxruntime-web (WASM) unpacks the weights at every run, so there the
 * file is smaller and the model slower: `quantizeDynamic` is the form for WASM.
 *
 * An axis of inputs that is no multiple of the block is filled up in the file. Heads and neurons of the model can still be pruned
 * as outputs; as inputs only in whole blocks, so prune first.
 *
 * @returns the model, and what was quantized, what was not and why, and bytes before and after
 * @throws DgateError `OPTION` and `NO_MATCH` for options, `DATA` naming a weight with NaN or infinity
 */
export function quantizeBlocks(
  graph: Graph,
  options: BlockQuantizeOptions = {},
): { graph: Graph; report: QuantizeReport } {
  const { operators = ["MatMul", "Gemm"], accuracyLevel } = options;
  const format = checkFormat(options);
  const choice = layerChoice(graph, { ...options, operators }, ["MatMul", "Gemm", "Gather"]);
  const work = normalise(graph);
  const { layers, skipped } = findLayers(work, choice);
  const report = { quantized: layers.map(quantizedNode), skipped: skipped.map(unquantizedNode) };
  const to = new LayerWriter(work);
  const tables = new DynamicWriter(to, { weights: codeFormat("int8", true, false), perChannel: true });
  const blocks = new BlockWriter(to, format, accuracyLevel);
  for (const layer of layers) {
    if (layer.operator === "Gather") tables.table(layer);
    else blocks.product(layer);
  }
  if (layers.some(({ operator }) => operator !== "Gather")) {
    for (const each of graphsWithin(work))
      each.opsets.set("com.microsoft", each.opsets.get("com.microsoft") ?? 1);
  }
  denormalise(work);
  return {
    graph: work,
    report: { ...report, sizeBytes: { before: constantBytes(graph), after: constantBytes(work) } },
  };
}

function checkFormat({
  bits = 4,
  blockSize = 32,
  symmetric = true,
  accuracyLevel = 0,
}: BlockQuantizeOptions): BlockFormat {
  checkOption(bits === 4 || bits === 8, `bits must be 4 or 8, got ${bits}`);
  checkOption(
    [16, 32, 64, 128, 256].includes(blockSize),
    `blockSize must be 16, 32, 64, 128 or 256, got ${blockSize}`,
  );
  checkOption([0, 1, 2, 3, 4].includes(accuracyLevel), `accuracyLevel must be 0 to 4, got ${accuracyLevel}`);
  return { bits, blockSize, symmetric };
}

/** Replaces float layers by MatMulNBits; layers with the same weight share its codes. */
class BlockWriter {
  readonly #to: LayerWriter;
  readonly #format: BlockFormat;
  readonly #accuracyLevel: number | undefined;
  readonly #weights = new Map<string, readonly Value[]>();

  constructor(to: LayerWriter, format: BlockFormat, accuracyLevel: number | undefined) {
    this.#to = to;
    this.#format = format;
    this.#accuracyLevel = accuracyLevel;
  }

  product(layer: FloatLayer): void {
    const { node, tensor, outputsFirst } = layer;
    const [rows, columns] = [tensor.shape[0]!, tensor.shape[1]!];
    const [outputs, depth] = outputsFirst ? [rows, columns] : [columns, rows];
    const { bits, blockSize } = this.#format;
    const attributes = {
      K: int(depth),
      N: int(outputs),
      bits: int(bits),
      block_size: int(blockSize),
      ...(this.#accuracyLevel !== undefined && { accuracy_level: int(this.#accuracyLevel) }),
    };
    const inputs = [node.inputs[0], ...this.#weight(layer, outputs, depth)];
    this.#to.finish(
      layer,
      this.#to.work("MatMulNBits", node, { domain: "com.microsoft", inputs, attributes }),
    );
  }

  /** Codes, scales and, if any, zero points. */
  #weight(layer: FloatLayer, outputs: number, depth: number): readonly Value[] {
    const { weight, outputsFirst, factor } = layer;
    const key = [weight.name, outputsFirst, factor].join("|");
    const known = this.#weights.get(key);
    if (known) return known;
    const numbers = weightNumbers(layer);
    const turned = outputsFirst
      ? numbers
      : transposeInto(numbers, depth, outputs, new Float32Array(numbers.length));
    const { packed, scales, zeroPoints } = blockCodes(turned, outputs, depth, this.#format, weight.name);
    const { bits, blockSize } = this.#format;
    const shape = [outputs, Math.ceil(depth / blockSize), (blockSize * bits) / 8];
    const { name } = weight;
    const made = [
      this.#to.constant(`${name}_q${bits}`, "uint8", shape, packed),
      this.#to.constant(`${name}_scales`, "float32", [scales.length], scales),
      ...(zeroPoints
        ? [this.#to.constant(`${name}_zero_points`, "uint8", [zeroPoints.length], zeroPoints)]
        : []),
    ];
    this.#weights.set(key, made);
    return made;
  }
}
