import { float } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { integerRange, readNumbers, tensorOf } from "../io/tensor-data.ts";
import type { RealValues } from "./real-values.ts";

/**
 * What a value becomes by being quantized with the given scale and zero point, without the rounding. Where the lowest code stands for 0,
 * quantizers leave out the Relu or Clip before it, since codes end there anyway: what could be negative is clipped to the range of
 * the codes. Elsewhere the range was measured to hold all values.
 */
export function saturated(reals: RealValues, x: Value, [scale, zeroPoint]: Parameters): Value {
  const { graph } = reals;
  const range = integerRange[zeroPoint?.data?.dtype ?? "uint8"];
  const steps = scale?.data && readNumbers(scale.data);
  if (!range || steps?.length !== 1 || (zeroPoint && !zeroPoint.data)) return x;
  const lowest = zeroPoint?.data ? readNumbers(zeroPoint.data)[0]! : 0;
  if (lowest !== range[0] || isNonNegative(graph, x)) return x;
  const highest = (range[1] - range[0]) * steps[0]!;
  if ((graph.opsets.get("") ?? 1) < 11)
    return reals.addBeside("Clip", [x], { min: float(0), max: float(highest) });
  const bounds = [0, highest].map((bound) =>
    graph.addInitializer(graph.freshName("bound"), tensorOf(scale!.data!.dtype, [], [bound])),
  );
  return reals.addBeside("Clip", [x, ...bounds]);
}

type Parameters = readonly [scale: Value | undefined, zeroPoint: Value | undefined];

const positive: ReadonlySet<string> = new Set([
  "Abs",
  "Exp",
  "HardSigmoid",
  "ReduceL1",
  "ReduceL2",
  "ReduceSumSquare",
  "Relu",
  "Sigmoid",
  "Softmax",
  "Softplus",
  "Sqrt",
]);

/** Operators whose results are at least 0 if all that they read is. */
const keeping: ReadonlySet<string> = new Set(["Add", "Concat", "Max", "Mul", "Sum"]);

/** As `keeping`, for the first input. */
const passing: ReadonlySet<string> = new Set([
  "AveragePool",
  "DepthToSpace",
  "Dropout",
  "Expand",
  "Flatten",
  "Gather",
  "GlobalAveragePool",
  "GlobalMaxPool",
  "Identity",
  "MaxPool",
  "ReduceMax",
  "ReduceMean",
  "ReduceSum",
  "Reshape",
  "Slice",
  "Split",
  "Squeeze",
  "Tile",
  "Transpose",
  "Unsqueeze",
]);

/** Whether a value is known to have no negative element. */
function isNonNegative(graph: Graph, start: Value): boolean {
  const open = [start];
  const seen = new Set(open);
  for (let at = open.pop(); at; at = open.pop()) {
    const node = graph.producer(at);
    if (at.data) {
      if (readNumbers(at.data).some((number) => number < 0)) return false;
      continue;
    }
    if (node?.domain !== "") return false;
    if (positive.has(node.op) || (node.op === "Clip" && clipsAbove(node))) continue;
    if (!keeping.has(node.op) && !passing.has(node.op)) return false;
    const read = keeping.has(node.op) ? node.inputs : node.inputs.slice(0, 1);
    for (const value of read) if (value && !seen.has(value)) open.push(value);
    for (const value of read) if (value) seen.add(value);
  }
  return true;
}

function clipsAbove({ attributes, inputs }: Node): boolean {
  const attribute = attributes.get("min");
  if (attribute?.kind === "float") return attribute.value >= 0;
  const bound = inputs[1]?.data;
  return bound !== undefined && readNumbers(bound)[0]! >= 0;
}
