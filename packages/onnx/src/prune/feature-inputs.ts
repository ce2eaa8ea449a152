import type { PrunePlan } from "@dgate/core";
import { nodeName } from "../coupling/analyse.ts";
import { int } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { elementCount } from "../io/element-types.ts";
import { intAttribute } from "../ops/attributes.ts";
import { isDequantizeLinear, isQuantizeLinear } from "../ops/quantized-forms.ts";
import { quantizedLayer, readersOf } from "../quantization/quantized-layer.ts";
import { freshNodeName } from "./fresh-node-name.ts";

/** A Gather that picks the features a layer still reads from the full input. */
export interface FeatureGather {
  /** The model input that the features come from. */
  readonly input: Value;
  /** The layer that reads them. */
  readonly consumer: Node;
  readonly gather: Node;
  /** The list of picked indices. */
  readonly indices: Value;
  readonly axis: number;
  readonly size: number;
}

/** Operators that only move or cast elements, so that a feature stays a feature. */
const moving = new Set([
  "Reshape",
  "Flatten",
  "Transpose",
  "Squeeze",
  "Unsqueeze",
  "Identity",
  "Cast",
  "Dropout",
]);

const movesFeatures = ({ domain, op }: Node): boolean => domain === "" && moving.has(op);

/** All features alike: with one scale, or the scale that is found at run time. */
function quantizesFeatures(node: Node, output: Value): boolean {
  if (node.op === "DynamicQuantizeLinear") return node.outputs[0] === output;
  const scale = node.inputs[1]?.data;
  return (
    (isQuantizeLinear(node) || isDequantizeLinear(node)) &&
    scale !== undefined &&
    elementCount(scale.shape) === 1
  );
}

/** The model input whose elements a value holds, moved at most; `undefined` if anything is computed on the way. */
export function sourceInput(graph: Graph, value: Value): Value | undefined {
  let at = value;
  for (;;) {
    const producer = graph.producer(at);
    if (!producer) return at.data === undefined && graph.isInput(at) ? at : undefined;
    const next = producer.inputs[0];
    if (!next || !(movesFeatures(producer) || quantizesFeatures(producer, at))) return undefined;
    at = next;
  }
}

/** Where the weight of a layer meets its data: the weight's input-channel axis and the data's. */
export function featureAxes(
  graph: Graph,
  node: Node,
  dataRank: number,
): { weightAxis: number; dataAxis: number } | undefined {
  const layer = quantizedLayer(graph, node);
  if (!layer) return floatAxes(node, node.op, dataRank);
  const axes = floatAxes(node, layer.op, dataRank);
  return axes && layer.inputAxis !== undefined
    ? { weightAxis: layer.inputAxis, dataAxis: axes.dataAxis }
    : undefined;
}

function floatAxes(
  node: Node,
  op: string,
  dataRank: number,
): { weightAxis: number; dataAxis: number } | undefined {
  switch (op) {
    case "Gemm":
      return {
        weightAxis: intAttribute(node, "transB", 0) ? 1 : 0,
        dataAxis: intAttribute(node, "transA", 0) ? 0 : 1,
      };
    case "MatMul":
      return { weightAxis: 0, dataAxis: dataRank - 1 };
    case "Conv":
      return intAttribute(node, "group", 1) === 1 ? { weightAxis: 1, dataAxis: 1 } : undefined;
    case "ConvTranspose":
      return intAttribute(node, "group", 1) === 1 ? { weightAxis: 0, dataAxis: 1 } : undefined;
    default:
      return undefined;
  }
}

/**
 * Puts a Gather of all features before each layer whose input features are planned, so that the model keeps taking full
 * inputs. The cut then shortens the list of indices together with the weight.
 */
export function insertFeatureGathers(graph: Graph, plan: PrunePlan): FeatureGather[] {
  const { types } = inferShapes(graph);
  const made: FeatureGather[] = [];
  for (const planned of plan.axes) {
    const weight = graph.value(planned.tensor);
    for (const { node: consumer, index } of weight ? readersOf(graph, weight) : []) {
      const data = consumer.inputs[0];
      const rank = data && types.get(data)?.shape?.length;
      const layer = quantizedLayer(graph, consumer)?.weight === weight;
      if (!data || rank === undefined || !(layer || (index === 1 && consumer.domain === ""))) continue;
      const axes = featureAxes(graph, consumer, rank);
      const input = sourceInput(graph, data);
      if (!axes || !input || axes.weightAxis !== planned.axis) continue;
      made.push(
        insertGather(graph, {
          input,
          data,
          consumer,
          axis: axes.dataAxis,
          size: planned.size * planned.blockSize,
        }),
      );
    }
  }
  return made;
}

function insertGather(
  graph: Graph,
  {
    input,
    data,
    consumer,
    axis,
    size,
  }: { input: Value; data: Value; consumer: Node; axis: number; size: number },
): FeatureGather {
  const stem = nodeName(consumer);
  const all = tensorOf(
    "int64",
    [size],
    Array.from({ length: size }, (_, i) => i),
  );
  const indices = graph.addInitializer(graph.freshName(`${stem}.features`), all);
  const gather = graph.addNode({
    op: "Gather",
    name: freshNodeName(graph, `${stem}.select`),
    inputs: [data, indices],
    attributes: { axis: int(axis) },
  });
  graph.setInput(consumer, 0, gather.outputs[0]);
  return { input, consumer, gather, indices, axis, size };
}

/** Takes out the Gathers that pick everything. */
export function dropFullGathers(graph: Graph, gathers: readonly FeatureGather[]): FeatureGather[] {
  return gathers.filter(({ gather, indices, consumer, size }) => {
    if (indices.data?.shape[0] !== size) return true;
    graph.setInput(consumer, 0, gather.inputs[0]);
    graph.remove(gather);
    graph.removeInitializer(indices);
    return false;
  });
}
