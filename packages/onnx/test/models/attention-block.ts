import type { Value } from "@dgate/onnx";
import type { Attended, AttentionShape } from "./attention-parts.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import * as content from "./input-content.ts";
import type { TransformerModel } from "./transformer-model.ts";

/** What a single attention layer computes beside its four projections; enough to compute it without its graph. */
export interface AttentionMath {
  /** Which keys a query sees: all, those that `attention_mask` names, and of those only the ones up to itself. */
  readonly mask?: "padding" | "causal" | "causal-padding";
}

/** One attention layer alone: input `hidden_states` `[batch, sequence, width]`, output `output` of the same shape. */
export interface AttentionBlock extends TransformerModel {
  readonly math: AttentionMath;
}

/** Options of the single-layer models. */
export interface BlockOptions extends ExporterOptions, Partial<AttentionShape> {}

/** Writes a model of one attention layer. */
export function attentionBlock(
  options: BlockOptions,
  math: AttentionMath,
  write: (ex: Exporter, x: Value, shape: AttentionShape, mask: Value | undefined) => Attended,
): AttentionBlock {
  const { width = 16, heads = 4, headDim = 4, kvHeads, bias } = options;
  const shape = { width, heads, headDim, ...(kvHeads && { kvHeads }), ...(bias !== undefined && { bias }) };
  const ex = new Exporter(options);
  const x = ex.input("hidden_states", ["batch_size", "sequence_length", width], content.normal);
  const mask = math.mask?.includes("padding")
    ? ex.input("attention_mask", ["batch_size", "sequence_length"], content.mask)
    : undefined;
  const { y, attention } = write(ex, x, shape, mask);
  ex.output("output", y, ["batch_size", "sequence_length", width]);
  const dims = { batch_size: 2, sequence_length: 5 };
  return { graph: ex.graph, attention: [attention], dims, inputs: ex.specs, math };
}
