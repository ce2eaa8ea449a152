import { int, ints } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { frontAxis, intAttribute, intsAttribute } from "../ops/attributes.ts";
import { isDequantizeLinear } from "../ops/quantized-forms.ts";
import { quantizationOf } from "../quantization/quantization-of.ts";
import { plainMeaning } from "./dequantized-constants.ts";
import type { RealValues } from "./real-values.ts";
import { refuse } from "./refuse.ts";

/** Operators that do to codes (their first input) what they do to the numbers that these stand for. */
const movers: ReadonlySet<string> = new Set([
  "DepthToSpace",
  "Expand",
  "Flatten",
  "Gather",
  "GatherElements",
  "GatherND",
  "Identity",
  "MaxPool",
  "ReduceMax",
  "ReduceMin",
  "Reshape",
  "Resize",
  "Slice",
  "SpaceToDepth",
  "Split",
  "Squeeze",
  "Tile",
  "Transpose",
  "Unsqueeze",
]);

/** Lets a node that moves codes move the float values; other nodes that read codes are refused. */
export function moveCodes(reals: RealValues, node: Node): void {
  const table = tableOf(reals, node);
  const read = node.inputs.map((input, i) =>
    i === 0 && table ? { value: table, scale: undefined } : reals.get(input),
  );
  if (read.every((real) => real === undefined)) return;
  const isSize = node.op === "Shape" || node.op === "Size";
  const isJoin = node.op === "Concat" && read.every((real) => real !== undefined);
  const isMover = movers.has(node.op) && read.every((real, i) => (i === 0) === (real !== undefined));
  if (node.domain !== "" || !(isSize || isJoin || isMover)) refuse(node, "it reads quantized values");
  const inputs = node.inputs.map((input, i) => read[i]?.value ?? input);
  const outputs = reals.addLike(node, node.op, inputs);
  node.outputs.forEach((codes, i) => {
    const value = outputs[i];
    if (!codes || !value) return;
    // Sizes, and the places that MaxPool finds, are no codes.
    if (isSize || (i > 0 && node.op === "MaxPool")) reals.replace(codes, value);
    else reals.set(codes, { value, scale: read[0]!.scale });
  });
}

/** A table of codes whose rows are looked up first and dequantized then, as floats. */
function tableOf(reals: RealValues, node: Node): Value | undefined {
  const { graph } = reals;
  const [table] = node.inputs;
  const [rows] = node.outputs;
  if (node.op !== "Gather" || node.domain !== "" || !table?.data || !rows) return undefined;
  const uses = graph.uses(rows);
  const isLater = uses.every((use) => use.node && isDequantizeLinear(use.node) && use.index === 0);
  const meant = isLater ? quantizationOf(graph, table) : undefined;
  return meant && reals.constant(table, plainMeaning(table, meant));
}

/** Weights that are turned before they are dequantized (`DequantizeLinear(Transpose(W))`) are turned behind it. */
export function turnedWeights(graph: Graph): number {
  let edits = 0;
  for (const node of graph.nodes().filter(isDequantizeLinear)) {
    const turn = graph.producer(node.inputs[0]!);
    const codes = turn?.inputs[0];
    if (turn?.op !== "Transpose" || turn.domain !== "" || !codes?.data) continue;
    if (intAttribute(node, "block_size", 0) > 0) continue;
    const rank = codes.data.shape.length;
    const perm = intsAttribute(turn, "perm") ?? codes.data.shape.map((_, axis) => rank - 1 - axis);
    const axis = perm[frontAxis(intAttribute(node, "axis", 1), rank)];
    const attributes = new Map([
      ...node.attributes,
      ...(axis === undefined ? [] : [["axis", int(axis)] as const]),
    ]);
    const real = graph.addNode({ ...node, attributes, inputs: [codes, ...node.inputs.slice(1)], outputs: 1 });
    const turned = graph.addNode({
      op: "Transpose",
      inputs: real.outputs,
      attributes: { perm: ints(perm) },
      name: turn.name,
    }).outputs[0]!;
    graph.replaceUses(node.outputs[0]!, turned);
    graph.remove(node);
    edits += 1;
  }
  return edits;
}
