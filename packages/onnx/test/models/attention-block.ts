import type { Value } from "@dgate/onnx";
import type { Attended, AttentionShape } from "./attention-parts.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import * as content from "./input-content.ts";
import type { TransformerModel } from "./transformer-model.ts";

/** Numbers of an initializer by its name. */
export type Numbers = (name: string) => ArrayLike<number>;

/** What a score gets added before the softmax, by head, query and key; `row` counts the first axis of the input. */
export type ScoreBias = (head: number, query: number, key: number, row: number) => number;

/** What a single attention layer computes beside its four projections: enough to compute it without running its graph. */
export interface AttentionMath {
  /** Which keys a query sees: all, those that `attention_mask` names, and of those only the ones up to itself. */
  readonly mask?: "padding" | "causal" | "causal-padding";
  /** Rotary position embedding of q and k: pairs (j, j + d/2), or neighbours if interleaved. */
  readonly rotary?: { readonly interleaved: boolean; readonly base: number };
  /** RMS normalisation of q and k over a head's features; weights `[headDim]` or `[heads, headDim]`. */
  readonly normalized?: { readonly query: string; readonly key: string; readonly epsilon: number };
  readonly bias?: (numbers: Numbers, length: number) => ScoreBias;
  /** Keys and values of earlier tokens are fed as `past_key_values.0.key` and `.value`, and precede the new ones. */
  readonly past?: boolean;
}

/** One attention layer alone: input `hidden_states` `[batch, sequence, width]`, output `output` of the same shape. */
export interface AttentionBlock extends TransformerModel {
  readonly math: AttentionMath;
}

/** Options of the single-layer models. */
export interface BlockOptions extends ExporterOptions, Partial<AttentionShape> {}

/** One form of attention of the pattern table, as a model of a single layer. */
export interface Pattern {
  /** The row of the table: "U1" … "U16". */
  readonly id: string;
  readonly name: string;
  readonly build: (options?: BlockOptions) => AttentionBlock;
}

/** The sizes of a single-layer model: 4 heads of 4 features on 16 if not given. */
export function blockShape({
  width = 16,
  heads = 4,
  headDim = 4,
  kvHeads,
  bias,
}: BlockOptions): AttentionShape {
  return { width, heads, headDim, ...(kvHeads && { kvHeads }), ...(bias !== undefined && { bias }) };
}

/** The options of a block with defaults of its pattern. */
export interface BlockDefaults extends BlockOptions {
  /** The size of the sequence axis, where the pattern fixes it. */
  readonly length?: number;
  /** The size of the batch axis in the feeds. */
  readonly batch?: number;
}

/**
 * A pattern whose model is one attention layer: `write` gets the input and, where the math says so, `attention_mask`
 * `[batch, sequence]`.
 */
export function pattern(
  id: string,
  name: string,
  defaults: BlockDefaults,
  mathOf: AttentionMath | ((shape: AttentionShape) => AttentionMath),
  write: (ex: Exporter, x: Value, shape: AttentionShape, mask: Value | undefined) => Attended,
): Pattern {
  const build = (given: BlockOptions = {}): AttentionBlock => {
    const options = { ...defaults, ...given };
    const shape = blockShape(options);
    const math = typeof mathOf === "function" ? mathOf(shape) : mathOf;
    const ex = new Exporter(options);
    const type = ["batch_size", defaults.length ?? "sequence_length", shape.width];
    const x = ex.input("hidden_states", type, content.normal);
    const mask = math.mask?.includes("padding")
      ? ex.input("attention_mask", type.slice(0, 2), content.mask)
      : undefined;
    const { y, attention } = write(ex, x, shape, mask);
    ex.output("output", y, type);
    const dims = { batch_size: defaults.batch ?? 2, sequence_length: 5 };
    return { ...ex.finish([attention], dims), math };
  };
  return { id, name, build };
}
