import { DgateError } from "@dgate/core";
import { type Attribute, type Graph, int, ints, type Value } from "@dgate/onnx";
import { crossEntropy, distill, type Loss, nextToken } from "@dgate/onnx/train";
import type { EncodedExample } from "../data/encode.ts";
import { GraphNodes } from "../graph-nodes.ts";
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
  /** Rows of an example where they are not those of tokens (default 1). */
  readonly rows?: number;
  /** What rows are: states, or logits, of classes or of the token that follows. */
  readonly rowsAre: "states" | "classes" | "next tokens";
}

/** Name of the output that `embedding` adds: `[batch, width]`, mean over tokens, of length √width, so that its mean squared error is 2 − 2·cos. */
const embeddingOutput = "dgate.embedding";

/** Name of the output that stands for both outputs of question answering: `[batch, 2, positions]`, logits of where the answer begins and ends. */
const spanOutput = "dgate.span";

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
  const states = kind.output === "hidden";
  const pooled = graph.value(output)?.type?.shape?.length === 2;
  const perToken = kind.output !== "classes" && !(states && pooled);
  const hasMask = graph.inputs.some(({ name }) => name === "attention_mask");
  const mask = perToken && hasMask && kind.input === "text" ? { mask: "attention_mask" } : {};
  const common = {
    objective: wanted,
    output,
    perToken,
    rowsAre: states
      ? ("states" as const)
      : kind.output === "language"
        ? ("next tokens" as const)
        : ("classes" as const),
    prepare: (model: Graph): Graph => withOutputs(model, [output]),
  };
  if (wanted === "labels") return labelled(common, kind, examples);
  if (wanted === "next-token") {
    if (kind.output !== "language")
      refuse(wanted, kind, "a language model, which gives logits of the next token");
    return { ...common, loss: nextToken({ logits: output, ...mask }) };
  }
  if (wanted === "embedding") {
    if (!states) refuse(wanted, kind, "a model that gives hidden states");
    return {
      ...common,
      output: embeddingOutput,
      perToken: false,
      prepare: (model) => withEmbedding(model, output, pooled),
      loss: distill({ kind: "mse", output: embeddingOutput }),
    };
  }
  if (output === spanStart) {
    return {
      ...common,
      output: spanOutput,
      perToken: false,
      rows: 2,
      prepare: withSpan,
      loss: distill({ kind: "kl", output: spanOutput }),
    };
  }
  return { ...common, loss: distill({ kind: states ? "mse" : "kl", output, ...mask }) };
}

function labelled(
  common: Omit<TrainedObjective, "loss">,
  kind: TaskKind,
  examples: readonly EncodedExample[],
): TrainedObjective {
  if (kind.output !== "classes") refuse("labels", kind, "a classifier");
  checkLabels(examples);
  return { ...common, labels: "labels", loss: crossEntropy({ logits: common.output, labels: "labels" }) };
}

/** @throws DgateError `DATA` naming an example without a label */
export function checkLabels(examples: readonly EncodedExample[], noun = "example"): void {
  const without = examples.find(({ label }) => label === undefined);
  if (without) {
    throw new DgateError(
      "DATA",
      `learn: ${noun} ${without.index} has no label; give { text, label }, or leave the objective out: the dense model is the teacher then.`,
    );
  }
}

function refuse(objective: Objective, { task }: TaskKind, expected: string): never {
  throw new DgateError(
    "OPTION",
    `learn: objective "${objective}" is for ${expected}; this model is opened for ${task}.`,
  );
}

const [spanStart, spanEnd] = ["start_logits", "end_logits"] as const;

/** The output that says what the model thinks: logits, or the last hidden states. */
function mainOutput(graph: Graph, { output, task }: TaskKind): string {
  const names = graph.outputs.map(({ name }) => name).filter((name) => !name.startsWith("present"));
  const wanted =
    output === "hidden" || output === "seq2seq"
      ? ["last_hidden_state", "token_embeddings"]
      : ["logits", ...(names.includes(spanEnd) ? [spanStart] : [])];
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

/** Adds the nodes of an objective, in the forms of the model's own operator set. */
class ObjectiveNodes extends GraphNodes {
  constructor(graph: Graph) {
    super(graph, "dgate");
  }

  /** An operator along one axis: an input from operator set 13 on, an attribute before. */
  along(name: string, x: Value, axis: number, attributes: Record<string, Attribute> = {}): Value {
    if ((this.graph.opsets.get("") ?? 17) < 13)
      return this.op(name, [x], { ...attributes, axes: ints([axis]) });
    const axes = this.constant("int64", [axis]);
    return this.op(name, [x, axes], attributes);
  }

  number(value: number): Value {
    return this.constant("float32", [value], []);
  }

  float32(x: Value): Value {
    return this.op("Cast", [x], { to: int(1) });
  }

  /** An output of a model in single precision, whose small numbers half precision does not have. */
  result(name: string): Value {
    const value = this.graph.value(name)!; // an output of the model
    return value.type?.dtype === "float16" ? this.float32(value) : value;
  }

  /** Makes the result of an operator the only output. */
  only(name: string, shape: readonly (number | string)[], op: string, inputs: readonly Value[]): Graph {
    const output = this.graph.addValue(name, { dtype: "float32", shape });
    this.graph.addNode({ op, inputs, outputs: [output] });
    this.graph.setOutputs([output]);
    return this.graph;
  }
}

/** Adds the embedding that sentence encoders are used for: the mean of the states over real tokens (of pooled ones there is one), scaled to the length √width. */
function withEmbedding(graph: Graph, states: string, pooled: boolean): Graph {
  const nodes = new ObjectiveNodes(graph.clone());
  const hidden = nodes.result(states);
  // The direction of a sum over the tokens is that of their mean.
  const total = pooled ? hidden : nodes.along("ReduceSum", masked(nodes, hidden), 1, { keepdims: int(0) });
  const squares = nodes.along("ReduceSum", nodes.op("Mul", [total, total]), 1, { keepdims: int(1) });
  // Σx² / width: divided by its root, a vector has length √width.
  const width = nodes.float32(
    nodes.op("Gather", [nodes.op("Shape", [total]), nodes.constant("int64", [1], [])]),
  );
  const mean = nodes.op("Div", [squares, width]);
  const scale = nodes.op("Sqrt", [nodes.op("Add", [mean, nodes.number(1e-12)])]);
  return nodes.only(embeddingOutput, ["batch", "width"], "Div", [total, scale]);
}

function masked(nodes: ObjectiveNodes, states: Value): Value {
  const mask = nodes.graph.value("attention_mask");
  return mask ? nodes.op("Mul", [states, nodes.along("Unsqueeze", nodes.float32(mask), 2)]) : states;
}

/** Adds the logits of both ends of an answer as one output; padding cannot be either. */
function withSpan(graph: Graph): Graph {
  const nodes = new ObjectiveNodes(graph.clone());
  const ends = [spanStart, spanEnd].map((name) => nodes.along("Unsqueeze", nodes.result(name), 1));
  const both = nodes.op("Concat", ends, { axis: int(1) });
  const mask = nodes.graph.value("attention_mask");
  const real = mask ? nodes.float32(mask) : undefined;
  const bias = real
    ? nodes.along(
        "Unsqueeze",
        nodes.op("Mul", [nodes.op("Sub", [real, nodes.number(1)]), nodes.number(1e4)]),
        1,
      )
    : nodes.number(0);
  return nodes.only(spanOutput, ["batch", 2, "positions"], "Add", [both, bias]);
}
