import { int, type Value } from "@dgate/onnx";
import { eagerAttention } from "./attention-eager.ts";
import type { Attended } from "./attention-parts.ts";
import { sdpaAttention } from "./attention-sdpa.ts";
import { embed, positionIds } from "./embeddings.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { expandedMask, extendedMask, lowest } from "./masks.ts";
import { layerNorm, type NormStyle } from "./norms.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of the encoder models. */
export interface EncoderOptions extends ExporterOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
  /** Rows of the position table: the longest sequence (default 16). */
  readonly positions?: number;
  readonly norm?: NormStyle;
  readonly attention?: "eager" | "sdpa";
}

/** Options of `bert`. */
export interface BertOptions extends EncoderOptions {
  /** What follows the encoder: its hidden states, the pooler, or the pooler and a classifier. */
  readonly head?: "none" | "pooler" | "classifier";
}

/**
 * BERT (optimum, torch.onnx): word, type and position embeddings, post-LN layers with Erf-GELU, pooler. Opset 14 with LayerNorm
 * node by node, 17 with `norm: "op"`.
 */
export function bert(options: BertOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, headDim = 4, hidden = 24, vocabulary = 23, norm = "decomposed" } = options;
  const { head = "pooler", attention: style = "eager", positions = 16 } = options;
  const ex = new Exporter({ opset: norm === "op" ? 17 : 14, ...options });
  const width = heads * headDim;
  const shape = ["batch_size", "sequence_length"];
  const ids = ex.input("input_ids", shape, content.tokens(vocabulary));
  const mask = ex.input("attention_mask", shape, content.mask);
  const types = ex.input("token_type_ids", shape, content.segments);
  const attention: AttentionExpectation[] = [];
  const y = ex.within("bert", () => {
    const additive =
      style === "eager" ? extendedMask(ex, mask, lowest) : expandedMask(ex, mask, ex.sizeOf(ids, 1));
    let x = ex.within("embeddings", () =>
      bertEmbeddings(ex, { ids, types }, { vocabulary, positions, width, norm }),
    );
    for (let i = 0; i < layers; i++) {
      const layer = ex.within(`encoder/layer.${i}`, () =>
        bertLayer(ex, x, { width, hidden, norm }, () => {
          const geometry = { width, heads, headDim };
          return style === "eager"
            ? eagerAttention(ex, x, geometry, { mask: additive })
            : sdpaAttention(ex, x, geometry, { mask: { kind: "additive", mask: additive } });
        }),
      );
      attention.push(layer.attention);
      x = layer.y;
    }
    return x;
  });
  writeHead(ex, y, width, head);
  return ex.finish(attention, { batch_size: 2, sequence_length: 6 });
}

function bertEmbeddings(
  ex: Exporter,
  { ids, types }: { readonly ids: Value; readonly types: Value },
  {
    vocabulary,
    positions,
    width,
    norm,
  }: {
    readonly vocabulary: number;
    readonly positions: number;
    readonly width: number;
    readonly norm: NormStyle;
  },
): Value {
  const places = positionIds(ex, ids, positions);
  const words = embed(ex, "word_embeddings", ids, [vocabulary, width]);
  const segments = embed(ex, "token_type_embeddings", types, [2, width]);
  const sum = ex.op("Add", [words, segments]);
  const placed = ex.op("Add", [sum, embed(ex, "position_embeddings", places, [positions, width])]);
  return layerNorm(ex, "LayerNorm", placed, width, { style: norm, epsilon: 1e-12 });
}

/** A post-LN layer: attention, residual, LayerNorm, feed-forward, residual, LayerNorm. */
export function bertLayer(
  ex: Exporter,
  x: Value,
  { width, hidden, norm }: { readonly width: number; readonly hidden: number; readonly norm: NormStyle },
  attend: () => Attended,
): Attended {
  const { y, attention } = attend();
  const sum = ex.within("attention/output", () => ex.op("Add", [y, x]));
  const middle = layerNorm(ex, "attention/output/LayerNorm", sum, width, { style: norm, epsilon: 1e-12 });
  const names = { up: "intermediate/dense", down: "output/dense" };
  const inner = feedForward(ex, middle, [width, hidden], "gelu", names);
  const next = ex.within("output", () => ex.op("Add", [inner, middle]));
  return { y: layerNorm(ex, "output/LayerNorm", next, width, { style: norm, epsilon: 1e-12 }), attention };
}

function writeHead(ex: Exporter, x: Value, width: number, head: "none" | "pooler" | "classifier"): void {
  if (head !== "classifier") ex.output("last_hidden_state", x, ["batch_size", "sequence_length", width]);
  if (head === "none") return;
  const pooled = ex.within("bert/pooler", () => {
    const first = ex.gather(x, ex.i64(0), 1);
    const w = ex.within("dense", () => ex.weight("weight", [width, width], { scale: 1 / Math.sqrt(width) }));
    const b = ex.within("dense", () => ex.weight("bias", [width]));
    return ex.op("Tanh", [ex.within("dense", () => ex.op("Gemm", [first, w, b], { transB: int(1) }))]);
  });
  if (head === "pooler") return ex.output("pooler_output", pooled, ["batch_size", width]);
  const logits = ex.within("classifier", () => {
    const w = ex.weight("weight", [3, width], { scale: 1 / Math.sqrt(width) });
    return ex.op("Gemm", [pooled, w, ex.weight("bias", [3])], { transB: int(1) });
  });
  ex.output("logits", logits, ["batch_size", 3]);
}
