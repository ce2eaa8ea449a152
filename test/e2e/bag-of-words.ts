import { Graph, int, ints, tensorOf, type Value } from "@dgate/onnx";

const wave = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(1.7 * i + 1));

/** Embeddings, their mean, and a linear layer: a classifier that does not attend. */
export function bagOfWords(): Graph {
  const graph = new Graph("bag");
  const weight = (name: string, rows: number, columns: number) =>
    graph.addInitializer(name, tensorOf("float32", [rows, columns], wave(rows * columns)));
  const shape = ["batch_size", "sequence_length"];
  const ids = graph.addInput("input_ids", { dtype: "int64", shape });
  for (const name of ["attention_mask", "token_type_ids"]) graph.addInput(name, { dtype: "int64", shape });
  const op = (name: string, inputs: readonly Value[], attributes = {}): Value =>
    graph.addNode({ op: name, inputs, attributes }).outputs[0]!;
  const embedded = op("Gather", [weight("words", 30_522, 4), ids]);
  const mean = op("ReduceMean", [embedded], { axes: ints([1]), keepdims: int(0) });
  const logits = graph.addValue("logits", { dtype: "float32", shape: ["batch_size", 2] });
  graph.addNode({ op: "MatMul", inputs: [mean, weight("classes", 4, 2)], outputs: [logits] });
  graph.addOutput(logits);
  return graph;
}
