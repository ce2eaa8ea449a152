import { DgateError } from "@dgate/core";
import { type Attribute, type Graph, int, ints, tensorOf, type Value } from "@dgate/onnx";
import { crossEntropy, distill, type Loss, nextToken } from "@dgate/onnx/train";
import type { EncodedExample } from "../data/encode.ts";
import type { TaskKind } from "../source/task.ts";
import type { Objective } from "./learn-options.ts";

/** A model as it is trained: its graph with what the objective needs of outputs, and the loss. */
export interface TrainedObjective {
  readonly objective: Objective;
  /** Adds the outputs that the loss compares to a graph of the model; the graph itself is not changed. */
  readonly prepare: (graph: Graph) => Graph;
  readonly loss: Loss;
  /** The output that quality is measured on. */
  readonly output: string;
  /** Input with the labels of a batch, if the loss takes any. */
  readonly labels?: string;
  /** Whether the output has one row per token, so that padding is left out. */
  readonly perToken: boolean;
}

/** Name of the output that `embedding` adds: `[batch, width]`, mean over tokens, of length 1. */
export const embeddingOutput = "dgate.embedding";

/**
 * What a model learns by.
 *
 * @throws DgateError `OPTION` for an objective that the model cannot have, `DATA` for labels that are not there
 */
export function objectiveOf(
  graph: Graph,
  kind: TaskKind,
  examples: readonly EncodedExample[],
  wanted: Objective = "distill",
): TrainedObjective {
  const output = mainOutput(graph, kind);
  const perToken = kind.output !== "classes";
  const hasMask = graph.inputs.some(({ name }) => name === "attention_mask");
  const mask = perToken && hasMask && kind.input === "text" ? { mask: "attention_mask" } : {};
  const common = {
    objective: wanted,
    output,
    perToken,
    prepare: (model: Graph): Graph => withOutputs(model, [output]),
  };
  if (wanted === "labels") return labelled(common, kind, examples);
  if (wanted === "next-token") {
    if (kind.output !== "language")
      refuse(wanted, kind, "a language model, which gives logits of the next token");
    return { ...common, loss: nextToken({ logits: output, ...mask }) };
  }
  if (wanted === "embedding") {
    if (kind.output !== "hidden") refuse(wanted, kind, "a model that gives hidden states");
    return {
      ...common,
      output: embeddingOutput,
      perToken: false,
      prepare: (model) => withEmbedding(model, output),
      loss: distill({ kind: "mse", output: embeddingOutput }),
    };
  }
  return { ...common, loss: distill({ kind: kind.output === "hidden" ? "mse" : "kl", output, ...mask }) };
}

function labelled(
  common: Omit<TrainedObjective, "loss">,
  kind: TaskKind,
  examples: readonly EncodedExample[],
): TrainedObjective {
  if (kind.output !== "classes") refuse("labels", kind, "a classifier");
  const without = examples.find(({ label }) => label === undefined);
  if (without) {
    throw new DgateError(
      "DATA",
      `learn: example ${without.index} has no label; give { text, label }, or leave the objective out: the dense model is the teacher then.`,
    );
  }
  return { ...common, labels: "labels", loss: crossEntropy({ logits: common.output, labels: "labels" }) };
}

function refuse(objective: Objective, { task }: TaskKind, expected: string): never {
  throw new DgateError(
    "OPTION",
    `learn: objective "${objective}" is for ${expected}; this model is opened for ${task}.`,
  );
}

/** The output that says what the model thinks: logits, or the last hidden states. */
function mainOutput(graph: Graph, { output, task }: TaskKind): string {
  const names = graph.outputs.map(({ name }) => name).filter((name) => !name.startsWith("present"));
  const wanted =
    output === "hidden" || output === "seq2seq"
      ? ["last_hidden_state", "token_embeddings"]
      : ["logits", "start_logits"];
  const found = wanted.find((name) => names.includes(name)) ?? (names.length === 1 ? names[0] : undefined);
  if (found !== undefined) return found;
  throw new DgateError(
    "UNSUPPORTED",
    `learn: of the outputs ${names.join(", ")} none is known for ${task}; expected ${wanted.join(" or ")}.`,
  );
}

/** The model with these outputs alone: what others take of it (caches, attentions) is not learned from. */
function withOutputs(graph: Graph, names: readonly string[]): Graph {
  const copy = graph.clone();
  copy.setOutputs(names.map((name) => copy.value(name)!));
  return copy;
}

/** Adds the embedding that sentence encoders are used for: the mean of the states over real tokens, divided by its length. */
function withEmbedding(graph: Graph, states: string): Graph {
  const copy = graph.clone();
  const hidden = copy.value(states)!; // an output of the model
  const mask = copy.value("attention_mask");
  const op = (name: string, inputs: readonly Value[], attributes: Record<string, Attribute> = {}): Value =>
    copy.addNode({ op: name, inputs, attributes }).outputs[0]!;
  const along = (name: string, x: Value, axis: number, attributes: Record<string, Attribute> = {}): Value =>
    alongAxis(copy, op, name, x, axis, attributes);
  const counted = mask
    ? op("Mul", [hidden, along("Unsqueeze", op("Cast", [mask], { to: int(1) }), 2)])
    : hidden;
  // The direction of a sum over the tokens is that of their mean.
  const total = along("ReduceSum", counted, 1, { keepdims: int(0) });
  const squares = along("ReduceSum", op("Mul", [total, total]), 1, { keepdims: int(1) });
  const epsilon = copy.addInitializer(copy.freshName("dgate.epsilon"), tensorOf("float32", [], [1e-12]));
  const length = op("Sqrt", [op("Add", [squares, epsilon])]);
  const { outputs } = copy.addNode({
    op: "Div",
    inputs: [total, length],
    outputs: [copy.addValue(embeddingOutput, { dtype: "float32", shape: ["batch", "width"] })],
  });
  copy.setOutputs([outputs[0]!]);
  return copy;
}

/** An operator along one axis: an input from operator set 13 on, an attribute before. */
function alongAxis(
  graph: Graph,
  op: (name: string, inputs: readonly Value[], attributes: Record<string, Attribute>) => Value,
  name: string,
  x: Value,
  axis: number,
  attributes: Record<string, Attribute>,
): Value {
  if ((graph.opsets.get("") ?? 17) < 13) return op(name, [x], { ...attributes, axes: ints([axis]) });
  const axes = graph.addInitializer(graph.freshName("dgate.axis"), tensorOf("int64", [1], [axis]));
  return op(name, [x, axes], attributes);
}
