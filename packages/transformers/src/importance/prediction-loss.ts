import { type Batch, type Graph, int, type Value } from "@dgate/onnx";
import type { EncodedExample } from "../data/encode.ts";
import { GraphNodes } from "../graph-nodes.ts";
import type { TrainedObjective } from "../learn/objective.ts";
import type { TaskKind } from "../source/task.ts";

/** The loss of one example, as nodes of a graph in training form. */
export interface ExampleLoss {
  /** Adds the output that the loss is of, and takes all others away; the graph itself is not changed. */
  readonly prepare: (graph: Graph) => Graph;
  /** Adds the loss to a prepared graph, which is changed. Gives the name of the loss, a scalar. */
  readonly emit: (graph: Graph) => string;
  /** Whether an example has such a loss. */
  readonly takes: (example: EncodedExample) => boolean;
  /** Whether `feeds` has to know the shape of the output. */
  readonly needsShape: boolean;
  /** What an example feeds beside the inputs of the model. */
  readonly feeds: (example: EncodedExample, outputShape: readonly number[], normal: () => number) => Batch;
}

/**
 * What `gradient` differentiates, for one example x at a time:
 *
 *     labels       −log p[label]
 *     next-token   mean over positions of −log p_t[token t+1]
 *     distill      of logits: mean over positions of −log p_t[argmax p_t], the model's own prediction as the label
 *                  of hidden states y: ⟨y, z⟩/√n over their n elements, z ~ N(0, 1) drawn anew for each example
 *     embedding    ⟨e, z⟩ of the mean-pooled state e of length 1, z as before
 *
 * The losses that `learn` takes for `distill` and `embedding` have their minimum, and so gradient 0, at the dense model. For logits the label that
 * the teacher would give stands in. For states there is no label, and their squared norm will not do: it is constant behind a layer
 * normalisation. A random direction does: E_z (∂⟨y, z⟩/∂ξ)² = ‖∂y/∂ξ‖² is the curvature of the squared error from the dense model with
 * respect to a gate (Hutchinson 1990), and E_z |∂⟨y, z⟩/∂ξ| is √(2/π) times its root.
 */
export function lossOf(
  { objective, output, prepare, labels }: TrainedObjective,
  kind: TaskKind,
): ExampleLoss {
  const common = { prepare, takes: () => true, needsShape: false, feeds: () => ({}) };
  if (objective === "labels") return { ...labelLoss(output, labels ?? "labels"), prepare };
  if (objective === "next-token") {
    return { ...common, emit: (graph) => nextTokenLoss(new LossNodes(graph), output), takes: hasNextToken };
  }
  if (objective === "distill" && kind.output !== "hidden") {
    return { ...common, emit: (graph) => ownPrediction(new LossNodes(graph), output) };
  }
  return { ...randomDirection(output), prepare };
}

const hasNextToken = ({ tokens }: EncodedExample): boolean => (tokens["input_ids"]?.length ?? 0) > 1;

function labelLoss(output: string, input: string): Omit<ExampleLoss, "prepare"> {
  return {
    emit(graph) {
      const nodes = new LossNodes(graph);
      const label = graph.addInput(input, { dtype: "int64", shape: [1, 1] });
      return nodes.negativeMean(nodes.pick(nodes.logProbabilities(output), label));
    },
    takes: ({ label }) => label !== undefined,
    needsShape: false,
    feeds: ({ label }) => ({
      [input]: { dtype: "int64", shape: [1, 1], data: BigInt64Array.of(BigInt(label!)) },
    }),
  };
}

function nextTokenLoss(nodes: LossNodes, output: string): string {
  const ids = nodes.graph.value("input_ids")!; // examples without tokens are not taken
  const next = nodes.op("Unsqueeze", [
    nodes.slice(ids, 1, Number.MAX_SAFE_INTEGER),
    nodes.constant("int64", [-1]),
  ]);
  const predicted = nodes.slice(nodes.logProbabilities(output), 0, -1);
  return nodes.negativeMean(nodes.pick(predicted, next));
}

function ownPrediction(nodes: LossNodes, output: string): string {
  const surest = nodes.op("ReduceMax", [nodes.logProbabilities(output), nodes.constant("int64", [-1])], {
    keepdims: int(0),
  });
  return nodes.negativeMean(surest);
}

const direction = "importance.direction";

function randomDirection(output: string): Omit<ExampleLoss, "prepare"> {
  return {
    emit(graph) {
      const nodes = new LossNodes(graph);
      const states = graph.value(output)!;
      const z = graph.addInput(direction, {
        dtype: "float32",
        ...(states.type?.shape && { shape: states.type.shape }),
      });
      return nodes.op("ReduceSum", [nodes.op("Mul", [states, z])], { keepdims: int(0) }).name;
    },
    takes: () => true,
    needsShape: true,
    feeds: (_, shape, normal) => {
      const count = shape.reduce((a, b) => a * b, 1);
      const data = Float32Array.from({ length: count }, () => normal() / Math.sqrt(count));
      return { [direction]: { dtype: "float32", shape, data } };
    },
  };
}

/** Adds the nodes of a loss, in their forms of operator set 18. */
class LossNodes extends GraphNodes {
  constructor(graph: Graph) {
    super(graph, "importance");
  }

  /** log softmax over the last axis. */
  logProbabilities(output: string): Value {
    return this.op("LogSoftmax", [this.graph.value(output)!], { axis: int(-1) });
  }

  /** Of axis 1. */
  slice(x: Value, start: number, end: number): Value {
    return this.op("Slice", [
      x,
      this.constant("int64", [start]),
      this.constant("int64", [end]),
      this.constant("int64", [1]),
    ]);
  }

  /** Elements of the last axis. */
  pick(x: Value, indices: Value): Value {
    return this.op("GatherElements", [x, indices], { axis: int(-1) });
  }

  negativeMean(x: Value): string {
    return this.op("Neg", [this.op("ReduceMean", [x], { keepdims: int(0) })]).name;
  }
}
