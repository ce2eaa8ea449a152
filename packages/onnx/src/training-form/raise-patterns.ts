import { DgateError } from "@dgate/core";
import type { Graph, Node } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { intAttribute } from "../ops/attributes.ts";
import { PatternReader } from "./pattern.ts";
import { findGelus, raiseGelus } from "./raise-gelu.ts";
import { raiseLayerNorms } from "./raise-layer-norm.ts";
import { editSubgraphs, graphsWithin } from "./subgraphs.ts";
import { upgradeTo } from "./upgrade-opset.ts";

/** The first operator set with Gelu. */
const geluOpset = 20;

/**
 * Puts one operator, whose derivative is cheaper, in the place of the nodes that exporters write for it: LayerNormalization and Gelu, of
 * which the graph gets operator set 20. In place, subgraphs included. Values between them must have no other use; the result keeps its
 * name.
 *
 * @returns the number of operators put in
 * @throws DgateError `UNSUPPORTED` for an operator set before 18
 */
export function raisePatterns(graph: Graph): number {
  const opset = graph.opsets.get("") ?? 0;
  if (opset < 18) {
    throw new DgateError(
      "UNSUPPORTED",
      `raisePatterns: graph "${graph.name}" has opset ${opset}; bring it to opset 18 with upgradeOpset first.`,
    );
  }
  const norms = editGraphs(graph, raiseLayerNorms);
  const hasGelu = graphsWithin(graph).some(
    (each) => findGelus(new PatternReader(each, inferShapes(each))).length > 0,
  );
  if (!hasGelu || !canRaise(graph, opset)) return norms;
  upgradeTo(graph, geluOpset);
  return norms + editGraphs(graph, raiseGelus);
}

function editGraphs(graph: Graph, edit: (pattern: PatternReader) => number): number {
  const inference = inferShapes(graph);
  const inside = editSubgraphs(graph, inference, (inner) => editGraphs(inner, edit));
  const edits = edit(new PatternReader(graph, inference));
  if (edits > 0) graph.sortNodes();
  return inside + edits;
}

const canRaise = (graph: Graph, opset: number): boolean =>
  opset >= 19 || !graphsWithin(graph).some((each) => each.nodes().some(isChangedAverage));

/** From opset 19 on, an average over a window that reaches past the padding is another one. */
function isChangedAverage(node: Node): boolean {
  if (node.op !== "AveragePool" || node.domain !== "") return false;
  return intAttribute(node, "ceil_mode", 0) !== 0 && intAttribute(node, "count_include_pad", 0) !== 0;
}
