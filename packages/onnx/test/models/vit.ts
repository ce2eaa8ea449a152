import { ints, type Value } from "@dgate/onnx";
import { eagerAttention } from "./attention-eager.ts";
import { timmAttention, type TimmSelection } from "./attention-packed.ts";
import type { AttentionShape } from "./attention-parts.ts";
import { sdpaAttention } from "./attention-sdpa.ts";
import { gemm, stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { layerNorm, type NormStyle } from "./norms.ts";
import type { TransformerModel } from "./transformer-model.ts";

/** Options of `vit`. */
export interface VitOptions extends ExporterOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly norm?: NormStyle;
  /** The attention of transformers (eager or SDPA) or of timm (packed). */
  readonly attention?: "eager" | "sdpa" | TimmSelection;
  /** DINOv2's LayerScale: a learnt factor for each channel of a branch. */
  readonly layerScale?: boolean;
}

const size = 8;
const patch = 4;
const patches = (size / patch) ** 2;

/**
 * Patches of an image as tokens: a strided Conv, `[batch, width, h, w]` flattened by a Reshape whose target comes from Shape and Slice, and
 * transposed.
 */
export function patchTokens(ex: Exporter, pixels: Value, width: number, { bias = true } = {}): Value {
  const grid = ex.within("projection", () => {
    const w = ex.weight("weight", [width, 3, patch, patch], { scale: 1 / Math.sqrt(3 * patch * patch) });
    const attributes = { kernel_shape: ints([patch, patch]), strides: ints([patch, patch]) };
    return ex.op("Conv", bias ? [pixels, w, ex.weight("bias", [width])] : [pixels, w], attributes);
  });
  const front = ex.op("Slice", [ex.op("Shape", [grid]), ex.i64s([0]), ex.i64s([2]), ex.i64s([0])]);
  const flat = ex.op("Reshape", [grid, ex.concat([front, ex.i64s([-1])], 0)]);
  return ex.transpose(flat, [0, 2, 1]);
}

/** The class token, expanded over the batch, in front of the patches; then the position table is added. */
export function withClassToken(ex: Exporter, pixels: Value, tokens: Value, width: number): Value {
  const token = ex.weight("cls_token", [1, 1, width]);
  const spread = ex.expand(token, [ex.sizeOf(pixels, 0), -1, -1]);
  const all = ex.concat([spread, tokens], 1);
  return ex.op("Add", [all, ex.weight("position_embeddings", [1, patches + 1, width])]);
}

/** ViT for classification: patch Conv, class token, positions, pre-LN layers with Erf-GELU, classifier on the first token. */
export function vit(options: VitOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, headDim = 4, norm = "decomposed" } = options;
  const ex = new Exporter({ opset: norm === "op" ? 17 : 14, ...options });
  const shape = { width: heads * headDim, heads, headDim };
  const { width } = shape;
  const pixels = ex.input("pixel_values", ["batch_size", 3, size, size], content.normal);
  const { y, attention } = ex.within("vit", () => {
    const x = ex.within("embeddings", () =>
      withClassToken(ex, pixels, patchTokens(ex, pixels, width), width),
    );
    return stack(x, layers, (value, i) =>
      ex.within(`encoder/layer.${i}`, () => vitLayer(ex, value, shape, options)),
    );
  });
  const normed = layerNorm(ex, "vit/layernorm", y, width, { style: norm, epsilon: 1e-12 });
  const logits = gemm(ex, "classifier", ex.gather(normed, ex.i64(0), 1), [width, 5]);
  ex.output("logits", logits, ["batch_size", 5]);
  return ex.finish(attention, { batch_size: 2 });
}

function attend(ex: Exporter, x: Value, shape: AttentionShape, kind: NonNullable<VitOptions["attention"]>) {
  if (kind === "eager") return eagerAttention(ex, x, shape);
  return kind === "sdpa" ? sdpaAttention(ex, x, shape) : timmAttention(ex, x, shape, { select: kind });
}

function vitLayer(ex: Exporter, x: Value, shape: AttentionShape, options: VitOptions) {
  const { norm = "decomposed", hidden = 24, attention: kind = "eager", layerScale = false } = options;
  const { width } = shape;
  const style = { style: norm, epsilon: 1e-12 };
  const scaled = (name: string, value: Value): Value =>
    layerScale
      ? ex.op("Mul", [value, ex.within(name, () => ex.weight("lambda1", [width], { mean: 1 }))])
      : value;
  const { y, attention } = attend(ex, layerNorm(ex, "layernorm_before", x, width, style), shape, kind);
  const middle = ex.op("Add", [scaled("layer_scale1", y), x]);
  const normed = layerNorm(ex, "layernorm_after", middle, width, style);
  const names = { up: "intermediate/dense", down: "output/dense" };
  const inner = feedForward(ex, normed, [width, hidden], "gelu", names);
  return { y: ex.op("Add", [scaled("layer_scale2", inner), middle]), attention };
}
