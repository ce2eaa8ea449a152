import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { applyTo, ruleOf } from "../ops/rule-of.ts";
import { oldForms } from "./old-forms.ts";
import { OldNode } from "./old-node.ts";
import { editSubgraphs, FreshNames, graphsWithin } from "./subgraphs.ts";

/** The oldest operator set that is upgraded: before it, operands were broadcast by attributes. */
const oldestOpset = 7;

/** The IR version that came with each operator set that is a target here. */
const irVersionOf = (opset: number): number => (opset < 19 ? 8 : 9);

/**
 * Brings a graph and its subgraphs, in place, to the forms of operator set 18, which it then says to have; a later set is left as it
 * is. Parameters that became inputs become initializers, operators that were given up (Upsample, Scatter) their successors.
 * Dropout of the time when it had no training mode is taken out. A Softmax of several axes becomes one of a matrix.
 *
 * @returns the number of nodes that were changed
 * @throws DgateError `UNSUPPORTED` for an operator set before 7, and naming a node whose old form has no new one
 */
export function upgradeOpset(graph: Graph): number {
  return upgradeTo(graph, 18);
}

/** As `upgradeOpset`, to a given operator set from 18 to 20. */
export function upgradeTo(graph: Graph, target: number): number {
  const opset = graph.opsets.get("") ?? target;
  if (opset < oldestOpset) {
    throw new DgateError(
      "UNSUPPORTED",
      `graph "${graph.name}" has opset ${opset}, and training starts at opset ${oldestOpset}; ` +
        "convert the model with onnx.version_converter or export it anew.",
    );
  }
  const edits = opset < target ? upgradeForms(graph, opset, target, new FreshNames(graph)) : 0;
  for (const each of graphsWithin(graph)) each.opsets.set("", Math.max(opset, target));
  raiseIrVersion(graph, irVersionOf(target));
  return edits;
}

function upgradeForms(graph: Graph, opset: number, target: number, names: FreshNames): number {
  const inference = inferShapes(graph);
  let edits = editSubgraphs(graph, inference, (inner) => upgradeForms(inner, opset, target, names));
  for (const node of graph.sorted()) {
    const forms = ruleOf(oldForms, node)?.filter(({ until }) => opset < until && until <= target) ?? [];
    let changed = false;
    for (const { upgrade } of forms) {
      // A node that was replaced is in its newest form.
      if (!node.outputs.some((value) => value && graph.producer(value) === node)) break;
      changed = applyTo(node, () => upgrade(new OldNode({ graph, inference, names }, node))) || changed;
    }
    if (changed) edits += 1;
  }
  if (edits > 0) graph.sortNodes();
  return edits;
}

/** Before IR 4 every initializer was listed as an input; after it, such an input is one that a caller may feed. */
function raiseIrVersion(graph: Graph, version: number): void {
  const { info } = graph;
  if (info.irVersion >= version) return;
  graph.info = { ...info, irVersion: version };
  if (info.irVersion >= 4) return;
  for (const input of graph.inputs) if (input.data) graph.undeclareInput(input);
}
