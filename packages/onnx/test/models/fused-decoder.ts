import { type Graph, int, type Tensor, tensorOf, type Value } from "@dgate/onnx";
import { FusedBuilder } from "./fused-builder.ts";

/** How a decoder is written. */
export interface DecoderOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  /** A multiple of 8, with rotary embeddings of 16: what the CPU kernel takes. */
  readonly headDim?: number;
  readonly neurons?: number;
  /** One projection for Q, K and V. */
  readonly packed?: boolean;
  /** Rotary embeddings inside of the attention. */
  readonly rotary?: boolean;
  readonly caches?: boolean;
  /** A learnt sink for each head. */
  readonly sink?: boolean;
  /** A constant bias of the scores for each head. */
  readonly scoreBias?: boolean;
}

/** Longest total length of the caches and score biases. */
const longest = 12;
const vocabulary = 13;

/** A decoder and feeds for `tokens` new tokens after `past` ones. */
export interface Decoder {
  readonly graph: Graph;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly feeds: (past: number, tokens: number) => Readonly<Record<string, Tensor>>;
}

/**
 * A Llama-like decoder as onnxruntime-genai's builder writes it: SimplifiedLayerNormalization, MatMul projections,
 * GroupQueryAttention with lengths counted from the attention mask, SkipSimplifiedLayerNormalization with the running sum,
 * and a gated FFN of plain operators.
 */
export function fusedDecoder(options: DecoderOptions = {}, seed = 1): Decoder {
  const { layers = 2, heads = 4, kvHeads = 2, headDim = 16, neurons = 10, caches = true } = options;
  const full = { ...options, layers, heads, kvHeads, headDim, neurons, caches };
  const net = new FusedBuilder(seed);
  const width = 24;
  const ids = net.input("input_ids", ["batch_size", "sequence_length"], "int64");
  const mask = net.input("attention_mask", ["batch_size", "total_sequence_length"], "int64");
  const lengths = lengthsOf(net, mask);
  const rotary = options.rotary ? net.rotaryCaches(longest, headDim) : [];
  let stream = net.op("Gather", [net.weight("embed", [vocabulary, width]), ids]);
  let normal = net.op("SimplifiedLayerNormalization", [stream, net.weight("norm0", [width], 0.3, 1)]);
  const presents: Value[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const name = `layers.${layer}`;
    const past = ["key", "value"].map((part) =>
      caches
        ? net.input(`past_key_values.${layer}.${part}`, [
            "batch_size",
            kvHeads,
            "past_sequence_length",
            headDim,
          ])
        : undefined,
    );
    const qkv = projections(net, name, normal, width, full);
    const sides = perHead(net, name, full);
    const outputs = net.fused("GroupQueryAttention", [...qkv, ...past, ...lengths, ...sides(rotary)], {
      name: `/model/${name}/attn/GroupQueryAttention`,
      outputs: caches ? 3 : 1,
      attributes: {
        num_heads: int(heads),
        kv_num_heads: int(kvHeads),
        do_rotary: int(options.rotary ? 1 : 0),
      },
    });
    outputs.slice(1).forEach((value, i) => {
      net.graph.rename(value, `present.${layer}.${["key", "value"][i]}`);
      presents.push(value);
    });
    const attended = net.project(`${name}/o_proj`, outputs[0]!, [heads * headDim, width]);
    [normal, stream] = skip(net, `${name}/norm1`, stream, attended, width);
    [normal, stream] = skip(net, `${name}/norm2`, stream, gatedFfn(net, name, normal, width, neurons), width);
  }
  const graph = net.output(net.project("lm_head", normal, [width, vocabulary]), ...presents);
  return { graph, heads, kvHeads, headDim, feeds: feedsOf(full) };
}

type Full = Required<
  Pick<DecoderOptions, "layers" | "heads" | "kvHeads" | "headDim" | "neurons" | "caches">
> &
  DecoderOptions;

/** Length of each sample minus one, and the longest: int32. */
function lengthsOf(net: FusedBuilder, mask: Value): readonly Value[] {
  const count = net.op("ReduceSum", [mask, net.integers("axis", [1])], { keepdims: int(0) });
  const one = net.graph.addInitializer("one", tensorOf("int64", [], [1]));
  const last = net.op("Cast", [net.op("Sub", [count, one])], { to: int(6) });
  const total = net.op("Gather", [net.op("Shape", [mask]), one], { axis: int(0) });
  return [last, net.op("Cast", [total], { to: int(6) })];
}

function projections(
  net: FusedBuilder,
  name: string,
  x: Value,
  width: number,
  { heads, kvHeads, headDim, packed = false }: Full,
): readonly (Value | undefined)[] {
  if (packed) {
    return [
      net.project(`${name}/qkv_proj`, x, [width, (heads + 2 * kvHeads) * headDim]),
      undefined,
      undefined,
    ];
  }
  return [
    net.project(`${name}/q_proj`, x, [width, heads * headDim]),
    net.project(`${name}/k_proj`, x, [width, kvHeads * headDim]),
    net.project(`${name}/v_proj`, x, [width, kvHeads * headDim]),
  ];
}

/** Inputs 7 to 11 of GroupQueryAttention: cosines, sines, positions, bias of the scores, sinks. */
function perHead(net: FusedBuilder, name: string, { heads, sink, scoreBias }: Full) {
  return ([cosines, sines]: readonly Value[]): readonly (Value | undefined)[] => [
    cosines,
    sines,
    undefined,
    scoreBias ? net.weight(`${name}/score_bias`, [1, heads, 1, longest]) : undefined,
    sink ? net.weight(`${name}/sink`, [heads]) : undefined,
  ];
}

function skip(net: FusedBuilder, name: string, x: Value, added: Value, width: number): [Value, Value] {
  const { outputs } = net.graph.addNode({
    op: "SkipSimplifiedLayerNormalization",
    domain: "com.microsoft",
    name,
    inputs: [x, added, net.weight(`${name}/gamma`, [width], 0.3, 1)],
    outputs: 4,
  });
  return [outputs[0]!, outputs[3]!];
}

/** down(silu(gate(x)) · up(x)). */
function gatedFfn(net: FusedBuilder, name: string, x: Value, width: number, neurons: number): Value {
  const gate = net.project(`${name}/gate_proj`, x, [width, neurons]);
  const up = net.project(`${name}/up_proj`, x, [width, neurons]);
  const active = net.op("Mul", [gate, net.op("Sigmoid", [gate])]);
  return net.project(`${name}/down_proj`, net.op("Mul", [active, up]), [neurons, width]);
}

/** Whole sequences without padding, for a batch of one; a score bias asks for a total of `longest`. */
function feedsOf({ layers, kvHeads, headDim, caches }: Full): Decoder["feeds"] {
  return (past, tokens) => {
    const ones = Array.from({ length: past + tokens }, () => 1);
    const feeds: Record<string, Tensor> = {
      input_ids: tensorOf(
        "int64",
        [1, tokens],
        Array.from({ length: tokens }, (_, i) => (5 * i + 3) % vocabulary),
      ),
      attention_mask: tensorOf("int64", [1, past + tokens], ones),
    };
    if (!caches) return feeds;
    const shape = [1, kvHeads, past, headDim];
    for (let layer = 0; layer < layers; layer++) {
      for (const part of ["key", "value"]) {
        const numbers = Array.from({ length: kvHeads * past * headDim }, (_, i) =>
          Math.sin(i + layer + part.length),
        );
        feeds[`past_key_values.${layer}.${part}`] = tensorOf("float32", shape, numbers);
      }
    }
    return feeds;
  };
}
