import { int, type Value } from "@dgate/onnx";
import { foldedAttention } from "./attention-folded.ts";
import type { AttentionShape } from "./attention-parts.ts";
import { embed, positionIds } from "./embeddings.ts";
import { stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { expandedMask, rangeMask } from "./masks.ts";
import { layerNorm } from "./norms.ts";
import type { TransformerModel } from "./transformer-model.ts";
import { patchTokens, withClassToken } from "./vit.ts";

/** Options of `clip`. */
export interface ClipOptions extends ExporterOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly vocabulary?: number;
}

interface Tower {
  readonly layers: number;
  readonly shape: AttentionShape;
  readonly masks: readonly Value[];
}

/** A pre-LN layer of either tower: folded attention with one Add for each mask, quick-GELU. */
function clipTower(ex: Exporter, x: Value, { layers, shape, masks }: Tower) {
  const { width } = shape;
  const mask = masks.length === 0 ? undefined : masks.reduce((a, b) => ex.op("Add", [a, b]));
  return stack(x, layers, (value, i) =>
    ex.within(`encoder/layers.${i}`, () => {
      const attended = foldedAttention(ex, layerNorm(ex, "layer_norm1", value, width), shape, { mask });
      const middle = ex.op("Add", [value, attended.y]);
      const normed = layerNorm(ex, "layer_norm2", middle, width);
      const names = { up: "fc1", down: "fc2" };
      const inner = ex.within("mlp", () => feedForward(ex, normed, [width, 2 * width], "quick-gelu", names));
      return { y: ex.op("Add", [middle, inner]), attention: attended.attention };
    }),
  );
}

/** CLIP (eager): a text tower pooled at the largest token id, an image tower, both projected, normalised and multiplied. */
export function clip(options: ClipOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, headDim = 4, vocabulary = 27 } = options;
  const ex = new Exporter({ opset: 13, ...options });
  const shape = { width: heads * headDim, heads, headDim };
  const { width } = shape;
  const length = ["text_batch_size", "sequence_length"];
  const ids = ex.input("input_ids", length, content.tokens(vocabulary));
  const pixels = ex.input("pixel_values", ["image_batch_size", 3, 8, 8], content.normal);
  const mask = ex.input("attention_mask", length, content.mask);
  const image = ex.within("vision_model", () => {
    const tokens = ex.within("embeddings", () =>
      withClassToken(ex, pixels, patchTokens(ex, pixels, width, { bias: false }), width),
    );
    return clipTower(ex, layerNorm(ex, "pre_layrnorm", tokens, width), { layers, shape, masks: [] });
  });
  const first = layerNorm(ex, "vision_model/post_layernorm", ex.gather(image.y, ex.i64(0), 1), width);
  const text = ex.within("text_model", () =>
    textTower(ex, { ids, mask }, { layers, shape, masks: [] }, vocabulary),
  );
  const imageEmbeds = unit(ex, ex.linear("visual_projection", first, [width, 8], { bias: false }).y);
  const textEmbeds = unit(ex, ex.linear("text_projection", text.pooled, [width, 8], { bias: false }).y);
  const scale = ex.op("Exp", [ex.weight("logit_scale", [], { mean: 1 })]);
  const product = ex.op("MatMul", [textEmbeds, ex.transpose(imageEmbeds, [1, 0])]);
  const perText = ex.op("Mul", [product, scale]);
  ex.output("logits_per_image", ex.transpose(perText, [1, 0]), ["image_batch_size", "text_batch_size"]);
  ex.output("logits_per_text", perText, ["text_batch_size", "image_batch_size"]);
  ex.output("text_embeds", textEmbeds, ["text_batch_size", 8]);
  ex.output("image_embeds", imageEmbeds, ["image_batch_size", 8]);
  const dims = { text_batch_size: 2, image_batch_size: 3, sequence_length: 5 };
  return ex.finish([...image.attention, ...text.attention], dims);
}

function textTower(
  ex: Exporter,
  { ids, mask }: { readonly ids: Value; readonly mask: Value },
  tower: Tower,
  vocabulary: number,
) {
  const { width } = tower.shape;
  const size = ex.scalar(ex.sizeOf(ids, 1));
  const flat = ex.reshape(ids, [-1, size]);
  const words = embed(ex, "embeddings/token_embedding", flat, [vocabulary, width]);
  const places = embed(ex, "embeddings/position_embedding", positionIds(ex, flat, 16), [16, width]);
  const x = ex.op("Add", [words, places]);
  const masks = [rangeMask(ex, size), expandedMask(ex, mask, size)];
  const { y, attention } = clipTower(ex, x, { ...tower, masks });
  const normed = layerNorm(ex, "final_layer_norm", y, width);
  const last = ex.op("ArgMax", [ex.cast(flat, "int32")], { axis: int(-1), keepdims: int(0) });
  const batch = ex.op("Range", [ex.i64(0), ex.scalar(ex.sizeOf(normed, 0)), ex.i64(1)]);
  const index = ex.concat([ex.unsqueeze(batch, [-1]), ex.unsqueeze(last, [-1])], -1);
  return { pooled: ex.op("GatherND", [normed, index]), attention };
}

/** Rows divided by their length. */
function unit(ex: Exporter, x: Value): Value {
  const norm = ex.op("ReduceL2", [x], { axes: { kind: "ints", value: [-1] }, keepdims: int(1) });
  return ex.op("Div", [x, norm]);
}
