import type { Dim, Value } from "../graph/graph.ts";
import { reshapeGroups } from "../infer/reshape-groups.ts";
import { type Inference, NodeView } from "../infer/view.ts";
import type { Graph } from "../graph/graph.ts";
import { intsAttribute } from "../ops/attributes.ts";
import { type UnaryOp, unaryOps } from "../ops/families.ts";
import { inputOrder, quantizedForm } from "../ops/quantized-forms.ts";
import { quantizedLayer } from "../quantization/quantized-layer.ts";
import { unaryFunctions } from "../ops/scalar-functions.ts";

/** Longer ways back are not followed. */
const longestPath = 64;

/**
 * Whether a channel of `value` along `axis` is zero once everything that makes and shifts the channel is: the weights and
 * biases of the layers that write it, its scales, its column of an embedding. A difference from a mean, as LayerNormalization
 * takes, is not.
 */
export function keepsZero(graph: Graph, inference: Inference, value: Value, axis: number): boolean {
  return isZero({ graph, inference, known: new Map() }, value, axis, 0);
}

/** What one question finds on its ways back: a value that is added to itself again and again is asked about once. */
interface Search {
  readonly graph: Graph;
  readonly inference: Inference;
  readonly known: Map<Value, boolean[]>;
}

function isZero(search: Search, value: Value, axis: number, steps: number): boolean {
  const answers = search.known.get(value) ?? [];
  search.known.set(value, answers);
  return (answers[axis] ??= decideZero(search, value, axis, steps));
}

function decideZero(search: Search, value: Value, axis: number, steps: number): boolean {
  const { graph, inference } = search;
  const { types } = inference;
  const size = types.get(value)?.shape?.[axis];
  if (steps > longestPath || size === undefined) return false;
  if (value.data) return true;
  const producer = graph.producer(value);
  if (!producer || producer.outputs[0] !== value) return false;
  const rank = types.get(value)!.shape!.length;
  const layer = quantizedLayer(graph, producer);
  if (layer) return axis === (layer.op.startsWith("Conv") ? 1 : rank - 1);
  const form = quantizedForm(producer);
  if (producer.domain !== "" && !form) return false;
  const own = new NodeView(graph, producer, inference);
  const view = form ? own.as(form.op, inputOrder(form)) : own;
  const { node } = view;
  const from = (index: number, at = axis - rank + (view.shape(index)?.length ?? 0)): boolean => {
    const input = node.inputs[index];
    const whole = input !== undefined && at >= 0 && view.shape(index)?.[at] === size;
    return whole && isZero(search, input, at, steps + 1);
  };
  switch (node.op) {
    case "Add":
    case "Sub":
    case "Sum":
    case "Concat":
      return node.inputs.every((_, i) => (node.op === "Concat" ? from(i, axis) : from(i)));
    case "Where":
      return from(1) && from(2);
    case "Mul":
      return node.inputs.some((_, i) => from(i));
    case "Div":
    case "Dropout":
    case "Cast":
    case "Expand":
    case "QuantizeLinear":
    case "DequantizeLinear":
    case "DynamicQuantizeLinear":
      return from(0);
    case "Pow":
      return from(0) && (view.numbers(1)?.every((exponent) => exponent > 0) ?? false);
    case "Transpose":
      return from(0, intsAttribute(node, "perm")?.[axis] ?? rank - 1 - axis);
    case "Reshape":
    case "Flatten":
    case "Squeeze":
    case "Unsqueeze":
      return from(0, sameAxis(view.shape(0), view.outputShape(), axis));
    case "Gather":
      // The columns of an embedding; its rows are chosen by the indices.
      return rank - axis <= (view.shape(0)?.length ?? 0) - 1 && from(0);
    case "Gemm":
    case "MatMul":
      return axis === rank - 1 && node.inputs[1]?.data !== undefined;
    case "Conv":
      return axis === 1 && node.inputs[1]?.data !== undefined;
    case "BatchNormalization":
    case "InstanceNormalization":
      return axis === 1;
    case "LayerNormalization":
      return axis === rank - 1 && from(1) && (!node.inputs[2] || from(2));
    default:
      return isUnary(node.op) && unaryFunctions[node.op](view)?.(0) === 0 && from(0);
  }
}

const isUnary = (op: string): op is UnaryOp => (unaryOps as readonly string[]).includes(op);

/** The input axis that a regrouping hands on as it is; −1 if it does not. */
function sameAxis(from: readonly Dim[] | undefined, to: readonly Dim[] | undefined, axis: number): number {
  const groups = from && to ? reshapeGroups(from, to) : [];
  const found = groups.find(({ output: [start, end] }) => start === axis && end === axis + 1);
  return found?.exact && found.input[1] - found.input[0] === 1 ? found.input[0] : -1;
}
