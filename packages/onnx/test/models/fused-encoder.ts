import { int, type Graph, type Value } from "@dgate/onnx";
import { FusedBuilder, headCount } from "./fused-builder.ts";

/** Sizes of a fused encoder. */
export interface EncoderSizes {
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly neurons: number;
  readonly vocabulary: number;
}

export const smallEncoder: EncoderSizes = { layers: 2, heads: 4, headDim: 4, neurons: 12, vocabulary: 11 };

/**
 * BERT as onnxruntime's transformer optimizer writes it: EmbedLayerNormalization, then per layer Attention with a packed
 * projection and a mask of lengths, SkipLayerNormalization and BiasGelu. Inputs are token and segment ids and a mask of 0 and
 * 1, all int32 `[batch, time]`; the output is `[batch, time, width]`.
 */
export function fusedBert(sizes: EncoderSizes = smallEncoder, seed = 1): Graph {
  const net = new FusedBuilder(seed);
  const width = sizes.heads * sizes.headDim;
  const ids = ["input_ids", "segment_ids", "mask"].map((name) => net.int32Input(name, ["batch", "time"]));
  const tables = [
    net.weight("word", [sizes.vocabulary, width]),
    net.weight("position", [8, width]),
    net.weight("segment", [2, width]),
  ];
  const norm = [net.weight("embed/gamma", [width], 0.3, 1), net.weight("embed/beta", [width])];
  const [embedded] = net.fused("EmbedLayerNormalization", [ids[0], ids[1], ...tables, ...norm, ids[2]], {
    name: "embed",
    outputs: 2,
    attributes: { mask_index_type: int(1) },
  });
  let x = embedded!;
  for (let layer = 0; layer < sizes.layers; layer++)
    x = encoderLayer(net, `layer${layer}`, x, ids[2]!, sizes);
  return net.output(net.op("Identity", [x]));
}

function encoderLayer(net: FusedBuilder, name: string, x: Value, mask: Value, sizes: EncoderSizes): Value {
  const { heads, headDim, neurons } = sizes;
  const width = heads * headDim;
  const weight = net.kernel(`${name}/qkv/kernel`, [width, 3 * width]);
  const bias = net.weight(`${name}/qkv/bias`, [3 * width], 0.5);
  const [context] = net.fused("Attention", [x, weight, bias, mask], {
    name: `${name}/attention`,
    attributes: headCount(heads),
  });
  const attended = net.project(`${name}/output`, context!, [width, width]);
  const [middle] = net.skipNorm(`${name}/norm1`, attended, x, width);
  const hidden = net.project(`${name}/fc1`, middle, [width, neurons]);
  const [active] = net.fused("BiasGelu", [hidden, net.weight(`${name}/fc1/bias`, [neurons])]);
  const shrunk = net.project(`${name}/fc2`, active!, [neurons, width]);
  return net.skipNorm(`${name}/norm2`, shrunk, middle, width)[0];
}

/**
 * A pre-norm encoder over vectors, as the optimizer writes ViT, CLIP and Whisper: MultiHeadAttention whose operator adds the
 * biases of Q, K and V, QuickGelu or FastGelu with a bias, and the running sum as fourth output of SkipLayerNormalization.
 */
export function fusedVit(sizes: EncoderSizes = smallEncoder, seed = 1): Graph {
  const net = new FusedBuilder(seed);
  const { layers, heads, headDim, neurons } = sizes;
  const width = heads * headDim;
  const x = net.input("x", ["batch", "time", width]);
  let stream = net.matmul("embed", x, [width, width]);
  let normal = net.op("LayerNormalization", [stream, net.weight("gamma", [width], 0.3, 1)]);
  for (let layer = 0; layer < layers; layer++) {
    const name = `layer${layer}`;
    const parts = ["q", "k", "v"].map((part) => net.project(`${name}/${part}`, normal, [width, width]));
    const bias = net.weight(`${name}/qkv/bias`, [3 * width], 0.5);
    const [context] = net.fused("MultiHeadAttention", [...parts, bias], {
      name: `${name}/attention`,
      attributes: headCount(heads),
    });
    const attended = net.project(`${name}/output`, context!, [width, width]);
    [normal, stream] = net.skipNorm(`${name}/norm1`, attended, stream, width);
    const hidden = net.project(`${name}/fc1`, normal, [width, neurons]);
    const fc1Bias = net.weight(`${name}/fc1/bias`, [neurons]);
    const [active] =
      layer % 2 === 0
        ? net.fused("FastGelu", [hidden, fc1Bias])
        : net.fused("QuickGelu", [net.op("Add", [hidden, fc1Bias])]);
    [normal, stream] = net.skipNorm(
      `${name}/norm2`,
      net.project(`${name}/fc2`, active!, [neurons, width]),
      stream,
      width,
    );
  }
  return net.output(net.project("head", normal, [width, 5]));
}
