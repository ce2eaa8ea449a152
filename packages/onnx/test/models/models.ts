import { bert } from "./bert.ts";
import { clip } from "./clip.ts";
import { albert, distilBert, miniLm, roberta } from "./encoders.ts";
import { gpt2, gpt2Stacked } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { charGpt, opt } from "./small-decoders.ts";
import { swin } from "./swin.ts";
import { t5Decoder, t5Encoder } from "./t5.ts";
import { tfBert } from "./tf-bert.ts";
import type { TransformerModel } from "./transformer-model.ts";
import { vit } from "./vit.ts";
import { whisperDecoder, whisperEncoder } from "./whisper.ts";

/** A whole model at small width. */
export interface ModelCase {
  readonly name: string;
  readonly build: () => TransformerModel;
}

/** Every whole transformer that the test helpers write, in its usual forms. */
export const transformerModels: readonly ModelCase[] = [
  { name: "BERT", build: () => bert() },
  { name: "BERT classifier, LayerNormalization", build: () => bert({ norm: "op", head: "classifier" }) },
  {
    name: "BERT, SDPA, simplified",
    build: () => bert({ attention: "sdpa", shapes: "constant", constants: "shared" }),
  },
  {
    name: "BERT of the dynamo exporter",
    build: () =>
      bert({ opset: 18, norm: "op", attention: "sdpa", shapes: "sliced", constants: "initializers" }),
  },
  { name: "BERT of tf2onnx", build: () => tfBert() },
  { name: "DistilBERT", build: () => distilBert() },
  { name: "DistilBERT, simplified", build: () => distilBert({ shapes: "constant", constants: "shared" }) },
  { name: "RoBERTa", build: () => roberta() },
  { name: "MiniLM with mean pooling", build: () => miniLm() },
  { name: "ALBERT, tied layers", build: () => albert() },
  { name: "GPT-2", build: () => gpt2() },
  { name: "GPT-2 with past", build: () => gpt2({ cache: "past" }) },
  { name: "GPT-2 merged", build: () => gpt2({ cache: "merged", norm: "op" }) },
  { name: "GPT-2 merged, first step", build: () => gpt2({ cache: "merged", useCache: false }) },
  { name: "GPT-2 with stacked past", build: () => gpt2Stacked() },
  { name: "Llama", build: () => llama() },
  { name: "Llama with past", build: () => llama({ cache: "past" }) },
  {
    name: "Llama of the dynamo exporter with past",
    build: () => llama({ cache: "past", opset: 18, shapes: "sliced", constants: "initializers" }),
  },
  { name: "Llama merged", build: () => llama({ cache: "merged" }) },
  {
    name: "Qwen3 with past",
    build: () => llama({ cache: "past", norm: "per-feature", headCount: "inferred" }),
  },
  { name: "OPT", build: () => opt() },
  { name: "OPT with past", build: () => opt({ cache: "past" }) },
  { name: "OPT merged", build: () => opt({ cache: "merged" }) },
  { name: "character GPT", build: () => charGpt() },
  { name: "T5 encoder", build: () => t5Encoder() },
  { name: "flan-T5 encoder, gated GELU", build: () => t5Encoder({ feedForward: "geglu" }) },
  { name: "T5 decoder", build: () => t5Decoder({ cache: "first" }) },
  { name: "T5 decoder with past", build: () => t5Decoder({ cache: "past", feedForward: "geglu" }) },
  { name: "T5 decoder merged", build: () => t5Decoder({ cache: "merged", encoderPresent: "identity" }) },
  { name: "T5 decoder merged, first step", build: () => t5Decoder({ cache: "merged", useCache: false }) },
  { name: "Whisper encoder", build: () => whisperEncoder() },
  { name: "Whisper decoder", build: () => whisperDecoder({ cache: "first" }) },
  { name: "Whisper decoder with past", build: () => whisperDecoder({ cache: "past" }) },
  { name: "Whisper decoder merged", build: () => whisperDecoder({ cache: "merged" }) },
  {
    name: "Whisper decoder merged, first step",
    build: () => whisperDecoder({ cache: "merged", useCache: false }),
  },
  { name: "ViT", build: () => vit() },
  { name: "ViT, SDPA, LayerNormalization", build: () => vit({ attention: "sdpa", norm: "op" }) },
  {
    name: "timm ViT, simplified",
    build: () => vit({ attention: "gather", shapes: "constant", constants: "shared" }),
  },
  { name: "DINOv2 with unbind and LayerScale", build: () => vit({ attention: "unbind", layerScale: true }) },
  { name: "CLIP", build: () => clip() },
  { name: "Swin", build: () => swin() },
];
