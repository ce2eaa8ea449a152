import { Graph, int, ints, type Value } from "@dgate/onnx";
import { GraphWriter } from "../ui/graph-writer.ts";
import { type Opinion, opinionNames, opinionWords } from "./small-texts.ts";

const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] as const;
const vocabulary: readonly string[] = [...special, ...opinionWords];

/** Sizes of the model that the page trains itself. */
export const smallSizes = { layers: 3, heads: 4, headDim: 8, hidden: 64, positions: 32 } as const;

const { layers, heads, headDim, hidden, positions } = smallSizes;
const width = heads * headDim;

function linear(writer: GraphWriter, name: string, x: Value, from: number, to: number): Value {
  const weight = writer.weight(`${name}/weight`, [from, to], 1 / Math.sqrt(from));
  const product = writer.op(`${name}/MatMul`, "MatMul", [x, weight]);
  return writer.op(`${name}/Add`, "Add", [product, writer.weight(`${name}/bias`, [to], 0)]);
}

function norm(writer: GraphWriter, name: string, x: Value): Value {
  const scale = writer.weight(`${name}/weight`, [width], 0, 1);
  const bias = writer.weight(`${name}/bias`, [width], 0);
  return writer.op(name, "LayerNormalization", [x, scale, bias], { axis: int(-1) });
}

/** Attention and feed-forward part of a layer, each followed by its sum with what went in and a normalisation: as BERT has it. */
function layer(writer: GraphWriter, name: string, x: Value, mask: Value): Value {
  const within = `${name}/attention`;
  const split = (part: string, perm: readonly number[]): Value => {
    const y = linear(writer, `${within}/${part}`, x, width, width);
    const apart = writer.op(`${within}/${part}/Reshape`, "Reshape", [
      y,
      writer.integers([0, 0, heads, headDim]),
    ]);
    return writer.op(`${within}/${part}/Transpose`, "Transpose", [apart], { perm: ints(perm) });
  };
  const queries = split("query", [0, 2, 1, 3]);
  const keys = split("key", [0, 2, 3, 1]);
  const values = split("value", [0, 2, 1, 3]);
  const product = writer.op(`${within}/MatMul`, "MatMul", [queries, keys]);
  const scores = writer.op(`${within}/Div`, "Div", [product, writer.number(Math.sqrt(headDim))]);
  const masked = writer.op(`${within}/Add`, "Add", [scores, mask]);
  const weights = writer.op(`${within}/Softmax`, "Softmax", [masked], { axis: int(-1) });
  const context = writer.op(`${within}/context/MatMul`, "MatMul", [weights, values]);
  const turned = writer.op(`${within}/context/Transpose`, "Transpose", [context], {
    perm: ints([0, 2, 1, 3]),
  });
  const merged = writer.op(`${within}/context/Reshape`, "Reshape", [turned, writer.integers([0, 0, width])]);
  const attended = writer.op(`${within}/residual`, "Add", [
    linear(writer, `${within}/output`, merged, width, width),
    x,
  ]);
  const middle = norm(writer, `${within}/norm`, attended);
  const inner = writer.op(`${name}/Relu`, "Relu", [linear(writer, `${name}/up`, middle, width, hidden)]);
  const sum = writer.op(`${name}/residual`, "Add", [
    linear(writer, `${name}/down`, inner, hidden, width),
    middle,
  ]);
  return norm(writer, `${name}/norm`, sum);
}

/**
 * A classifier of film opinions with 3 layers of 4 attention heads, its weights drawn from a seed: embeddings of words and places, an encoder
 * as BERT's, and two logits read at the first token.
 */
export function smallModel(seed: number): Graph {
  const writer = new GraphWriter(new Graph("film-opinions", [["", 17]]), seed);
  const { graph } = writer;
  const ids = graph.addInput("input_ids", { dtype: "int64", shape: ["batch_size", "sequence_length"] });
  const given = graph.addInput("attention_mask", {
    dtype: "int64",
    shape: ["batch_size", "sequence_length"],
  });
  const wide = writer.op("/mask/Unsqueeze", "Unsqueeze", [given, writer.integers([1, 2])]);
  const ones = writer.op("/mask/Cast", "Cast", [wide], { to: int(1) });
  const absent = writer.op("/mask/Sub", "Sub", [writer.number(1), ones]);
  const mask = writer.op("/mask/Mul", "Mul", [absent, writer.number(-10000)]);

  const words = writer.op("/embeddings/words", "Gather", [
    writer.weight("/embeddings/words/weight", [vocabulary.length, width], 0.5),
    ids,
  ]);
  const shape = writer.op("/embeddings/Shape", "Shape", [ids]);
  const length = writer.op("/embeddings/length", "Slice", [
    shape,
    writer.integers([1]),
    writer.integers([2]),
  ]);
  const table = writer.weight("/embeddings/places/weight", [positions, width], 0.5);
  const places = writer.op("/embeddings/places", "Slice", [
    table,
    writer.integers([0]),
    length,
    writer.integers([0]),
  ]);
  let x = norm(writer, "/embeddings/norm", writer.op("/embeddings/Add", "Add", [words, places]));
  for (let i = 0; i < layers; i++) x = layer(writer, `/encoder/layer.${i}`, x, mask);

  const first = writer.op("/classifier/Gather", "Gather", [x, writer.integers([0], [])], { axis: int(1) });
  const weight = writer.weight("/classifier/weight", [width, 2], 1 / Math.sqrt(width));
  const logits = graph.addValue("logits", { dtype: "float32", shape: ["batch_size", 2] });
  graph.addNode({
    op: "Gemm",
    name: "/classifier/Gemm",
    inputs: [first, weight, writer.weight("/classifier/bias", [2], 0)],
    outputs: [logits],
  });
  graph.addOutput(logits);
  return graph;
}

/** Opinions as the inputs of the model, with their labels: what the tokenizer makes of them. */
export function smallBatch(examples: readonly Opinion[]) {
  const rows = examples.map(({ text }) =>
    ["[CLS]", ...text.split(" "), "[SEP]"].map((word) => vocabulary.indexOf(word)),
  );
  const length = Math.max(...rows.map((row) => row.length));
  const padded = (value: (row: readonly number[], at: number) => number): BigInt64Array =>
    BigInt64Array.from(
      rows.flatMap((row) => Array.from({ length }, (_, at) => value(row, at))),
      BigInt,
    );
  const dims = [rows.length, length];
  return {
    input_ids: { data: padded((row, at) => row[at] ?? 0), shape: dims },
    attention_mask: { data: padded((row, at) => Number(at < row.length)), shape: dims },
    labels: { data: BigInt64Array.from(examples, ({ label }) => BigInt(label)), shape: [rows.length] },
  };
}

/** What lies beside the ONNX file in the model's folder. */
export function smallModelFiles(): Readonly<
  Record<"config.json" | "tokenizer.json" | "tokenizer_config.json", string>
> {
  return {
    "config.json": JSON.stringify(
      {
        architectures: ["DistilBertForSequenceClassification"],
        model_type: "distilbert",
        dim: width,
        n_heads: heads,
        n_layers: layers,
        hidden_dim: hidden,
        max_position_embeddings: positions,
        vocab_size: vocabulary.length,
        pad_token_id: 0,
        id2label: Object.fromEntries(opinionNames.entries()),
        label2id: Object.fromEntries(opinionNames.map((name, i) => [name, i])),
      },
      undefined,
      2,
    ),
    "tokenizer.json": JSON.stringify(tokenizer),
    "tokenizer_config.json": JSON.stringify({
      tokenizer_class: "PreTrainedTokenizerFast",
      model_max_length: positions,
      cls_token: "[CLS]",
      pad_token: "[PAD]",
      sep_token: "[SEP]",
      unk_token: "[UNK]",
    }),
  };
}

const marker = (id: string) => ({ SpecialToken: { id, type_id: 0 } });

/** Words in lower case, cut at blanks and punctuation. */
const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: special.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: { type: "Lowercase" },
  pre_tokenizer: { type: "Whitespace" },
  post_processor: {
    type: "TemplateProcessing",
    single: [marker("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, marker("[SEP]")],
    pair: [
      marker("[CLS]"),
      { Sequence: { id: "A", type_id: 0 } },
      marker("[SEP]"),
      { Sequence: { id: "B", type_id: 0 } },
      marker("[SEP]"),
    ],
    special_tokens: Object.fromEntries(
      ["[CLS]", "[SEP]"].map((id) => [id, { id, ids: [vocabulary.indexOf(id)], tokens: [id] }]),
    ),
  },
  decoder: null,
  model: {
    type: "WordLevel",
    unk_token: "[UNK]",
    vocab: Object.fromEntries(vocabulary.map((word, id) => [word, id])),
  },
};
