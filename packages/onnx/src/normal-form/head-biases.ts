import { int } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { gatherTensor, readNumbers, tensorOf } from "../io/tensor-data.ts";
import { nodeName } from "../coupling/analyse.ts";
import { freshNodeName } from "../prune/fresh-node-name.ts";

/** What the Gathers of `separateHeadBiases` are called, so that they can be found again. */
const suffix = ".heads_of_bias";

/** Operators by which a bias or mask meets the scores of an attention layer. */
const joins = new Set(["Add", "Sub", "Mul", "Where"]);
const moves = new Set(["Cast", "Div", "Identity", "Clip", "Max"]);

/**
 * Lets each attention layer pick its heads from a bias or mask that several layers share: the relative position bias of T5,
 * ALiBi slopes, a mask that is expanded to all heads once. Without it the same heads would have to go in all those layers.
 * Inserts `Gather(bias, [0, 1, …])` before each use; a cut shortens the list. Returns the number of Gathers.
 */
export function separateHeadBiases(graph: Graph): number {
  const { types } = inferShapes(graph);
  let edits = 0;
  for (const softmax of graph.nodes("Softmax")) {
    for (const { node, index } of biasesBefore(graph, softmax)) {
      const bias = node.inputs[index]!;
      const shape = types.get(bias)?.shape;
      const axis = (shape?.length ?? 0) - 3;
      const heads = shape?.[axis];
      const full = types.get(softmax.inputs[0]!)?.shape;
      if (typeof heads !== "number" || heads < 2 || full?.at(-3) !== heads || graph.uses(bias).length < 2)
        continue;
      insertPick(graph, node, index, axis, heads);
      edits += 1;
    }
  }
  return edits;
}

/** The operands that meet the scores on their way to a Softmax, nearest first. */
function biasesBefore(graph: Graph, softmax: Node): { node: Node; index: number }[] {
  const found: { node: Node; index: number }[] = [];
  let at = softmax.inputs[0] && graph.producer(softmax.inputs[0]);
  while (at && at.domain === "" && (joins.has(at.op) || moves.has(at.op))) {
    const operands = at.inputs
      .map((value, index) => ({ value, index }))
      .filter(({ value }) => value && !value.data);
    const scores = operands.find(({ value }) => leadsToProduct(graph, value!));
    for (const [index, value] of at.inputs.entries()) {
      if (value && joins.has(at.op) && index !== scores?.index) found.push({ node: at, index });
    }
    at = scores?.value && graph.producer(scores.value);
  }
  return found;
}

/** `seen` has the fewest steps to each value: one that is reached again, not sooner, leads nowhere new. */
function leadsToProduct(graph: Graph, value: Value, steps = 0, seen = new Map<Value, number>()): boolean {
  const node = graph.producer(value);
  if (!node || node.domain !== "" || steps > 8 || steps >= (seen.get(value) ?? Infinity)) return false;
  seen.set(value, steps);
  if (node.op === "MatMul" || node.op === "Einsum") return true;
  if (!joins.has(node.op) && !moves.has(node.op) && node.op !== "Reshape") return false;
  return node.inputs.some((input) => input && leadsToProduct(graph, input, steps + 1, seen));
}

function insertPick(graph: Graph, node: Node, index: number, axis: number, heads: number): void {
  const name = freshNodeName(graph, `${nodeName(node)}${suffix}`);
  const list = Array.from({ length: heads }, (_, i) => i);
  const indices = graph.addInitializer(graph.freshName(name), tensorOf("int64", [heads], list));
  const pick = graph.addNode({
    op: "Gather",
    name,
    inputs: [node.inputs[index], indices],
    attributes: { axis: int(axis) },
  });
  graph.setInput(node, index, pick.outputs[0]);
}

/** Takes out the Gathers that pick every head, and picks from constants at once. */
export function dropHeadPicks(graph: Graph): void {
  const picks = graph.nodes("Gather").filter(({ name }) => name.includes(suffix));
  if (picks.length === 0) return;
  const { types } = inferShapes(graph);
  for (const pick of picks) {
    const [source, indices] = pick.inputs;
    const axis = pick.attributes.get("axis");
    if (!source || !indices?.data || axis?.kind !== "int") continue;
    const kept = [...readNumbers(indices.data)];
    const whole =
      types.get(source)?.shape?.[axis.value] === kept.length && kept.every((head, i) => head === i);
    if (!whole && !source.data) continue;
    const replacement = whole
      ? source
      : graph.addInitializer(
          graph.freshName(`${source.name}.kept`),
          gatherTensor(source.data!, axis.value, kept),
        );
    graph.replaceUses(pick.outputs[0]!, replacement);
    graph.remove(pick);
    if (graph.uses(indices).length === 0) graph.removeInitializer(indices);
  }
}
