import { Graph, int, tensorOf, type Value } from "@dgate/onnx";

/** Word vectors, two dense layers and a classifier with the inputs and outputs of a BERT: nothing in it attends. */
export function denseStack(): Graph {
  const graph = new Graph("dense");
  const shape = ["batch_size", "sequence_length"];
  const [ids] = ["input_ids", "attention_mask", "token_type_ids"].map((name) =>
    graph.addInput(name, { dtype: "int64", shape }),
  );
  const weight = (name: string, rows: number, columns: number): Value => {
    const numbers = Array.from({ length: rows * columns }, (_, i) => Math.sin(1 + i));
    return graph.addInitializer(name, tensorOf("float32", [rows, columns], numbers));
  };
  const op = (name: string, inputs: readonly Value[], attributes = {}): Value =>
    graph.addNode({ op: name, inputs, attributes }).outputs[0]!;
  const words = op("Gather", [weight("words", 23, 8), ids!]);
  const hidden = op("Relu", [op("MatMul", [words, weight("up", 8, 16)])]);
  const start = graph.addInitializer("start", tensorOf("int64", [], [0]));
  const first = op("Gather", [hidden, start], { axis: int(1) });
  const logits = op("MatMul", [first, weight("classify", 16, 3)]);
  graph.addOutput(logits);
  graph.rename(logits, "logits");
  return graph;
}
