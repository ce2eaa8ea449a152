import { type DataType, float, Graph, int, ints, type Tensor, tensorOf, type Value } from "@dgate/onnx";
import { randomGenerator } from "@dgate/core";

/** Sizes of a BERT encoder. */
export interface BertSizes {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly ffn: number;
  readonly vocabulary: number;
  readonly positions: number;
  readonly labels: number;
}

export const bertBase: BertSizes = {
  layers: 12,
  width: 768,
  heads: 12,
  ffn: 3072,
  vocabulary: 30_522,
  positions: 512,
  labels: 2,
};

/**
 * A BERT classifier as exporters write it: embeddings, blocks of attention and FFN with LayerNormalization after each, the first
 * token's state through a classifier. Batch and sequence are symbolic. All weights are views on one buffer of
 * random numbers, at offsets of their own, so that BERT base takes megabytes rather than hundreds of them.
 */
export function bert(sizes: BertSizes, seed = 1): Graph {
  const { layers, width, labels } = sizes;
  const build = new BertBuilder(sizes, seed);
  const { graph } = build;
  const ids = graph.addInput("input_ids", { dtype: "int64", shape: ["batch", "sequence"] });
  const mask = graph.addInput("attention_mask", { dtype: "float32", shape: ["batch", "sequence"] });
  const hidden = build.op("Mul", [build.op("Sub", [mask, build.scalar(1)]), build.scalar(1e4)]);
  const bias = build.op("Unsqueeze", [hidden, build.integers([1, 2])]);
  const words = build.op("Gather", [build.weight("word_embeddings", [sizes.vocabulary, width]), ids]);
  let x = build.norm("embeddings", words);
  for (let i = 0; i < layers; i++) {
    x = build.norm(
      `layer.${i}.attention`,
      build.op("Add", [build.attention(`layer.${i}.attention`, x, bias), x]),
    );
    x = build.norm(`layer.${i}.output`, build.op("Add", [build.feedForward(`layer.${i}`, x), x]));
  }
  const first = build.op("Gather", [x, build.integer(0)], { axis: int(1) });
  graph.addOutput(build.dense("classifier", first, [width, labels]));
  return graph;
}

class BertBuilder {
  readonly graph = new Graph("bert", [["", 17]]);
  readonly #sizes: BertSizes;
  readonly #pool: Uint8Array;
  #count = 0;

  constructor(sizes: BertSizes, seed: number) {
    this.#sizes = sizes;
    const random = randomGenerator(seed);
    const largest = Math.max(sizes.vocabulary, sizes.ffn) * sizes.width + 50_000;
    // Normal numbers are dear: a few thousand, scaled anew from row to row.
    const normals = Float32Array.from({ length: 4096 }, () => 0.05 * random.normal());
    const numbers = new Float32Array(largest);
    for (let i = 0; i < largest; i++) numbers[i] = normals[i % 4096]! * (1 + ((i >> 12) % 37) / 37);
    this.#pool = new Uint8Array(numbers.buffer);
  }

  op(op: string, inputs: readonly Value[], attributes = {}, name = `${op}_${++this.#count}`): Value {
    return this.graph.addNode({ op, inputs, attributes, name }).outputs[0]!;
  }

  weight(name: string, shape: readonly number[]): Value {
    const start = 4 * ((7919 * ++this.#count) % 40_000);
    const count = shape.reduce((a, b) => a * b, 1);
    return this.#constant(name, "float32", shape, this.#pool.subarray(start, start + 4 * count));
  }

  integers(numbers: readonly number[]): Value {
    return this.#tensor(tensorOf("int64", [numbers.length], numbers));
  }

  integer(number: number): Value {
    return this.#tensor(tensorOf("int64", [], [number]));
  }

  scalar(number: number): Value {
    return this.#tensor(tensorOf("float32", [], [number]));
  }

  dense(name: string, x: Value, shape: readonly [number, number]): Value {
    const product = this.op("MatMul", [x, this.weight(`${name}.weight`, shape)], {}, name);
    return this.op("Add", [product, this.weight(`${name}.bias`, [shape[1]])], {}, `${name}.add`);
  }

  norm(name: string, x: Value): Value {
    const { width } = this.#sizes;
    const ones = this.graph.addInitializer(
      `${name}.norm.weight`,
      tensorOf(
        "float32",
        [width],
        Array.from({ length: width }, () => 1),
      ),
    );
    const parameters = [ones, this.weight(`${name}.norm.bias`, [width])];
    return this.op("LayerNormalization", [x, ...parameters], { epsilon: float(1e-12) });
  }

  attention(name: string, x: Value, bias: Value): Value {
    const { width, heads } = this.#sizes;
    const split = (part: string, perm: readonly number[]): Value => {
      const states = this.dense(`${name}.${part}`, x, [width, width]);
      const apart = this.op("Reshape", [states, this.integers([0, 0, heads, width / heads])]);
      return this.op("Transpose", [apart], { perm: ints(perm) });
    };
    const scores = this.op("MatMul", [split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1])]);
    const scaled = this.op("Add", [this.op("Div", [scores, this.scalar(Math.sqrt(width / heads))]), bias]);
    const context = this.op("MatMul", [
      this.op("Softmax", [scaled], { axis: int(-1) }),
      split("value", [0, 2, 1, 3]),
    ]);
    const merged = this.op("Transpose", [context], { perm: ints([0, 2, 1, 3]) });
    return this.dense(`${name}.output`, this.op("Reshape", [merged, this.integers([0, 0, width])]), [
      width,
      width,
    ]);
  }

  feedForward(name: string, x: Value): Value {
    const { width, ffn } = this.#sizes;
    const inner = this.dense(`${name}.intermediate`, x, [width, ffn]);
    const erf = this.op("Erf", [this.op("Div", [inner, this.scalar(Math.SQRT2)])]);
    const gelu = this.op("Mul", [
      this.op("Mul", [inner, this.op("Add", [erf, this.scalar(1)])]),
      this.scalar(0.5),
    ]);
    return this.dense(`${name}.output`, gelu, [ffn, width]);
  }

  #tensor(data: Tensor): Value {
    return this.graph.addInitializer(`constant_${++this.#count}`, data);
  }

  #constant(name: string, dtype: DataType, shape: readonly number[], bytes: Uint8Array): Value {
    return this.graph.addInitializer(name, { dtype, shape, bytes });
  }
}
