import { fc } from "@dgate/testing";
import type { Value } from "@dgate/onnx";
import { causalAttention, distilBertAttention, eagerAttention } from "./attention-eager.ts";
import { einsumAttention, kerasAttention } from "./attention-einsum.ts";
import { foldedAttention, openaiWhisperAttention } from "./attention-folded.ts";
import { gptjAttention, groupedAttention } from "./attention-grouped.ts";
import {
  bloomAttention,
  gpt2Attention,
  multiheadAttention,
  multiQueryAttention,
  packedAttentionOf,
  slicedAttention,
  timmAttention,
} from "./attention-packed.ts";
import { type Attended, type AttentionShape, splitHeads } from "./attention-parts.ts";
import { relativePositionBias, t5Attention } from "./attention-relative.ts";
import { scaledDotProduct, sdpaAttention } from "./attention-sdpa.ts";
import { embed } from "./embeddings.ts";
import { type ExporterOptions, Exporter } from "./exporter.ts";
import { feedForward, type FeedForwardStyle } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { expandedMask, extendedMask, lowest } from "./masks.ts";
import { layerNorm, rmsNorm } from "./norms.ts";
import { rotaryTables, rotaryTablesByEinsum } from "./rotary.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** How padding reaches the attention layers that take an additive mask. */
type MaskForm = "none" | "extended" | "expanded";

/** What the attention of a random transformer can use; inputs are made when they are first asked for. */
interface Context {
  /** `[batch, sequence]` of 0 and 1. */
  readonly mask: () => Value;
  /** `[batch, 1, queries or 1, keys]`, or nothing. */
  readonly additive: () => Value | undefined;
  readonly positions: () => Value;
  readonly bias: boolean;
}

type Attend = (ex: Exporter, x: Value, shape: AttentionShape, context: Context) => Attended;

const maskOption = (mask: Value | undefined) => (mask ? { mask } : {});

/** Attention layers by kind; each takes the shape as far as its form allows. */
const attends = {
  "eager Div": (ex, x, shape, { additive }) => eagerAttention(ex, x, shape, maskOption(additive())),
  "eager Mul": (ex, x, shape, { additive }) =>
    eagerAttention(ex, x, shape, { scaling: "Mul", ...maskOption(additive()) }),
  DistilBERT: (ex, x, shape, { mask }) => distilBertAttention(ex, x, shape, mask()),
  "causal Where": (ex, x, shape, { additive }) => causalAttention(ex, x, shape, maskOption(additive())),
  SDPA: (ex, x, shape, { additive }) => {
    const mask = additive();
    return sdpaAttention(ex, x, shape, { mask: mask && { kind: "additive", mask } });
  },
  "SDPA guarded": (ex, x, shape, { mask }) => {
    const seen = ex.unsqueeze(ex.unsqueeze(ex.cast(mask(), "bool"), [1]), [2]);
    return sdpaAttention(ex, x, shape, { mask: { kind: "boolean", mask: seen, guard: true } });
  },
  "SDPA causal": (ex, x, shape) => sdpaAttention(ex, x, shape, { mask: { kind: "causal" } }),
  folded: (ex, x, shape, { additive, bias }) =>
    foldedAttention(ex, x, shape, { mask: additive(), keyBias: !bias }),
  "OpenAI Whisper": (ex, x, shape) => openaiWhisperAttention(ex, x, shape),
  T5: (ex, x, shape, { additive }) => {
    const length = ex.sizeOf(x, 1);
    const places = { queries: length, keys: length, bidirectional: true };
    const table = relativePositionBias(ex, shape.heads, places);
    const mask = additive();
    return t5Attention(ex, x, shape, { bias: mask ? ex.op("Add", [table, mask]) : table });
  },
  "GPT-2": (ex, x, shape, { additive }) => gpt2Attention(ex, x, shape, additive()),
  nanoGPT: (ex, x, shape) =>
    packedAttentionOf(ex, x, shape, (parts) => {
      const [q, k, v] = parts.map((part) => splitHeads(ex, part, shape.heads, shape.headDim));
      return scaledDotProduct(ex, q!, k!, v!, { kind: "causal" });
    }),
  "timm gather": (ex, x, shape) => timmAttention(ex, x, shape),
  "timm unbind": (ex, x, shape) => timmAttention(ex, x, shape, { select: "unbind" }),
  sliced: (ex, x, shape) => slicedAttention(ex, x, shape),
  MultiheadAttention: (ex, x, shape) => multiheadAttention(ex, x, shape),
  BLOOM: (ex, x, shape, { mask }) => bloomAttention(ex, x, shape, mask()),
  "multi-query": (ex, x, shape) => multiQueryAttention(ex, x, shape),
  "GQA traced": (ex, x, shape) => groupedAttention(ex, x, shape, { mask: { kind: "causal" } }),
  "GQA constant": (ex, x, shape) => groupedAttention(ex, x, shape, { sizes: "constant" }),
  "GQA inferred": (ex, x, shape, { additive }) => {
    const mask = additive();
    return groupedAttention(ex, x, shape, {
      headCount: "inferred",
      mask: mask && { kind: "additive", mask },
    });
  },
  RoPE: (ex, x, shape, { positions }) =>
    groupedAttention(ex, x, shape, { rotary: rotaryTables(ex, positions(), shape.headDim) }),
  "RoPE Einsum": (ex, x, shape, { positions }) =>
    groupedAttention(ex, x, shape, { rotary: rotaryTablesByEinsum(ex, positions(), shape.headDim) }),
  "RoPE interleaved": (ex, x, shape, { positions }) => gptjAttention(ex, x, shape, positions()),
  "QK-norm": (ex, x, shape) => groupedAttention(ex, x, shape, { norm: "per-feature" }),
  "QK-norm per head": (ex, x, shape) => groupedAttention(ex, x, shape, { norm: "per-head" }),
  Einsum: (ex, x, shape, { additive }) => einsumAttention(ex, x, shape, { mask: additive() }),
  Keras: (ex, x, shape, { additive }) => kerasAttention(ex, x, shape, { mask: additive() }),
} satisfies Readonly<Record<string, Attend>>;

/** A kind of attention of a random transformer. */
export type AttentionKind = keyof typeof attends;

/** All kinds, for tests that go through them one by one. */
export const attentionKinds: readonly AttentionKind[] = Object.keys(attends) as AttentionKind[];

type Norm = "decomposed" | "op" | "rms";

/** What a random transformer is made of. Plain data, so that fast-check prints what failed. */
export interface TransformerConfig {
  readonly seed: number;
  /** One attention layer after the other. */
  readonly attention: readonly AttentionKind[];
  readonly heads: number;
  /** Query heads for each key and value head, where the kind has groups; divides `heads`. */
  readonly repeats: number;
  readonly headDim: number;
  /** Features of the stream; may differ from heads·headDim. */
  readonly width: number;
  readonly hidden: number;
  readonly bias: boolean;
  readonly mask: MaskForm;
  readonly norm: Norm;
  readonly order: "pre" | "post";
  readonly feedForward: FeedForwardStyle;
  readonly constants: NonNullable<ExporterOptions["constants"]>;
  readonly shapes: NonNullable<ExporterOptions["shapes"]>;
}

const styles = ["relu", "gelu", "gelu-op", "gelu-tanh", "quick-gelu", "silu", "swiglu", "geglu"] as const;

/** Random transformers of one or two layers, every kind of attention, normalisation and feed-forward layer. */
export function transformer(): fc.Arbitrary<TransformerConfig> {
  return fc
    .record({
      seed: fc.nat(),
      attention: fc.array(fc.constantFrom(...attentionKinds), { minLength: 1, maxLength: 2 }),
      heads: fc.constantFrom(2, 3, 4),
      grouped: fc.boolean(),
      headDim: fc.constantFrom(2, 4, 6),
      width: fc.constantFrom(8, 12, 16),
      hidden: fc.constantFrom(10, 16),
      bias: fc.boolean(),
      mask: fc.constantFrom<MaskForm>("none", "extended", "expanded"),
      norm: fc.constantFrom<Norm>("decomposed", "op", "rms"),
      order: fc.constantFrom("pre" as const, "post" as const),
      feedForward: fc.constantFrom(...styles),
      constants: fc.constantFrom("nodes" as const, "initializers" as const, "shared" as const),
      shapes: fc.constantFrom("computed" as const, "sliced" as const, "constant" as const),
    })
    .map(({ grouped, ...config }) => {
      const repeats = grouped ? (config.heads === 4 ? 2 : config.heads) : 1;
      return { ...config, repeats };
    });
}

const vocabulary = 13;

/** Writes the transformer: embeddings, layers, a last norm, and an output layer of 5 classes for each token. */
export function buildTransformer(config: TransformerConfig): TransformerModel {
  const { seed, heads, repeats, headDim, width, bias, order, constants, shapes } = config;
  const ex = new Exporter({ seed, opset: config.feedForward === "gelu-op" ? 20 : 17, constants, shapes });
  const ids = ex.input("input_ids", ["batch_size", "sequence_length"], content.tokens(vocabulary));
  const context = contextOf(ex, ids, config);
  const attention: AttentionExpectation[] = [];
  let x = embed(ex, "embeddings", ids, [vocabulary, width]);
  config.attention.forEach((kind, i) => {
    const kvHeads = /^(GQA|RoPE(?! interleaved)|QK)/.test(kind) ? heads / repeats : heads;
    const shape = { width, heads, kvHeads, headDim, bias };
    const attend: Attend = attends[kind];
    x = ex.within(`layers.${i}`, () => {
      const middle = residual(ex, "norm1", x, config, (value) => {
        const attended = attend(ex, value, shape, context);
        attention.push(attended.attention);
        return attended.y;
      });
      return residual(ex, "norm2", middle, config, (value) => {
        const names = { up: "up_proj", down: "down_proj" };
        return feedForward(ex, value, [width, config.hidden], config.feedForward, names, bias);
      });
    });
  });
  const last = order === "pre" ? normalize(ex, "norm", x, config) : x;
  ex.output("logits", ex.linear("head", last, [width, 5]).y, ["batch_size", "sequence_length", 5]);
  return ex.finish(attention, { batch_size: 2, sequence_length: 5 });
}

function normalize(ex: Exporter, name: string, x: Value, { norm, width }: TransformerConfig): Value {
  return norm === "rms" ? rmsNorm(ex, name, x, [width]) : layerNorm(ex, name, x, width, { style: norm });
}

/** `x + f(norm(x))`, or `norm(x + f(x))`. */
function residual(
  ex: Exporter,
  name: string,
  x: Value,
  config: TransformerConfig,
  branch: (x: Value) => Value,
): Value {
  if (config.order === "pre") return ex.op("Add", [x, branch(normalize(ex, name, x, config))]);
  return normalize(ex, name, ex.op("Add", [branch(x), x]), config);
}

/** Calls `make` the first time only. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function contextOf(ex: Exporter, ids: Value, config: TransformerConfig): Context {
  const type = ["batch_size", "sequence_length"];
  const mask = once(() => ex.input("attention_mask", type, content.mask));
  const additive = once(() => {
    if (config.mask === "none") return undefined;
    return config.mask === "extended"
      ? extendedMask(ex, mask(), lowest)
      : expandedMask(ex, mask(), ex.sizeOf(ids, 1));
  });
  const positions = once(() => ex.input("position_ids", type, content.positions()));
  return { mask, additive, positions, bias: config.bias };
}
