import { analyseCoupling, nodeName } from "../coupling/analyse.ts";
import type { Graph, Node } from "../graph/graph.ts";
import type { Inference } from "../infer/view.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { removeDeadCode } from "./dead-code.ts";
import { dropSkipBranch } from "./drop-skip-branches.ts";
import { sliceConstants } from "../constants/slice-constants.ts";
import type { SliceSource } from "../constants/slice-context.ts";

/** Operators that take a per-channel constant in the place of a whole branch. */
const joins = new Set(["Add", "Sub", "Mul"]);

/**
 * Replaces a branch that is dead as a whole (a residual branch without filters) by the constant it emits: nothing at all if
 * that is zero and added, else one number per channel. The branch's nodes disappear.
 */
export function dropConstantBranches(graph: Graph): number {
  const constants = sliceConstants(analyseCoupling(graph));
  let edits = 0;
  let skips = 0;
  for (const node of graph.sorted()) {
    if (dropSkipBranch(graph, node, constants)) {
      skips += 1;
      continue;
    }
    if (node.domain !== "" || !joins.has(node.op)) continue;
    const replaced = [0, 1].some(
      (index) =>
        isBranch(graph, constants.coupling.inference, node, index) &&
        replaceBranch(graph, node, index, constants),
    );
    if (replaced) edits += 1;
  }
  if (edits + skips > 0) removeDeadCode(graph);
  // What a fused join leaves is new to the analysis, and may be the stream of the next one.
  return skips > 0 ? edits + skips + dropConstantBranches(graph) : edits;
}

/**
 * Operand `index` is computed, and the other one has the full shape of the result. Two open sizes of other names may differ: the
 * branch could be the longer one, along which the other is repeated.
 */
function isBranch(graph: Graph, { types }: Inference, node: Node, index: number): boolean {
  const value = node.inputs[index];
  const other = node.inputs[1 - index];
  const output = node.outputs[0];
  if (!value || !other || !output || !graph.producer(value)) return false;
  const full = types.get(output)?.shape;
  const own = types.get(other)?.shape;
  const branch = types.get(value)?.shape;
  if (!full || !own || !branch || own.length !== full.length || branch.length > full.length) return false;
  const stretches = branch.some((dim, i) => dim !== 1 && dim !== full[full.length - branch.length + i]);
  return !stretches && own.every((dim, i) => dim === full[i]);
}

function replaceBranch(graph: Graph, node: Node, index: number, constants: SliceSource): boolean {
  const value = node.inputs[index]!;
  const type = constants.coupling.inference.types.get(value);
  const rank = type?.shape?.length ?? 0;
  for (let axis = 0; axis < rank; axis++) {
    const found = constants.of(value, axis);
    if (!type || !found || found.some((number) => Number.isNaN(number))) continue;
    const adds = node.op === "Add" || (node.op === "Sub" && index === 1);
    const output = node.outputs[0]!;
    const isOutput = graph.uses(output).some((use) => use.node === undefined);
    if (adds && !isOutput && found.every((number) => number === 0)) {
      graph.replaceUses(output, node.inputs[1 - index]!);
      return true;
    }
    const shape = Array.from({ length: rank }, (_, i) => (i === axis ? found.length : 1));
    const name = graph.freshName(`${nodeName(node)}.constant`);
    graph.setInput(node, index, graph.addInitializer(name, tensorOf(type.dtype, shape, found)));
    return true;
  }
  return false;
}
