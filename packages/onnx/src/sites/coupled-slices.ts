import { allOccurrences, type Coupling } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import type { Node, Value } from "../graph/graph.ts";
import { NodeView } from "../infer/view.ts";
import { einsumLabels } from "../ops/einsum.ts";
import { intAttribute } from "../ops/attributes.ts";
import { quantizedRole } from "./quantized-role.ts";
import type { CoupledRole, CoupledSlice } from "./site.ts";

/** For each leaf space, the constants that hold it: on which axis and where. */
export function coupledSlices(coupling: Coupling): ReadonlyMap<Space, readonly CoupledSlice[]> {
  const found = new Map<Space, CoupledSlice[]>();
  const walked = new Map<Space, ReturnType<typeof allOccurrences>>();
  for (const value of coupling.graph.initializers) {
    const { dtype, shape } = value.data!;
    if (dtype === "int64") continue; // shapes and indices
    coupling.axesOf(value)?.forEach((space, axis) => {
      const leaves = space.leaves().filter(({ size }) => size !== undefined && size > 1);
      if (leaves.length === 0) return;
      // Scale, bias and statistics of a normalisation lie on the very axis that the next layer reads.
      const places = walked.get(space.root) ?? allOccurrences(space);
      walked.set(space.root, places);
      let role: CoupledRole | undefined;
      for (const leaf of leaves) {
        // Only packed weights hold inputs and outputs on one axis.
        if (role === undefined || dtype === "uint8")
          role = quantizedRole(coupling, value, axis, leaf) ?? roleOf(coupling, value, axis);
        const list = found.get(leaf) ?? [];
        found.set(leaf, list);
        list.push({ tensor: value.name, axis, axisSize: shape[axis]!, role, places: places.get(leaf) ?? [] });
      }
    });
  }
  return found;
}

/** The axis of a layer's weight (input 1) that its output channels are on; `undefined` for an operator without weight. */
export function outputAxis(node: Node, weightRank: number): number | undefined {
  switch (node.domain === "" ? node.op : `${node.domain}.${node.op}`) {
    case "Gemm":
    case "com.microsoft.FusedGemm":
      return intAttribute(node, "transB", 0) ? 0 : 1;
    case "MatMul":
      return weightRank >= 2 ? weightRank - 1 : undefined;
    case "com.microsoft.FusedMatMul":
      return weightRank >= 2 ? weightRank - (intAttribute(node, "transB", 0) ? 2 : 1) : undefined;
    case "com.microsoft.Attention":
    case "com.microsoft.QAttention":
      return 1;
    case "Conv":
    case "com.microsoft.FusedConv":
      return 0;
    case "ConvTranspose":
      return 1;
    default:
      return undefined;
  }
}

/** The axes of an Einsum's weight that are in its output. */
export function einsumOutputAxes({ graph, inference }: Coupling, node: Node, input: number): number[] {
  const labels = einsumLabels(new NodeView(graph, node, inference));
  return labels?.inputs[input]?.flatMap((label, axis) => (labels.output.includes(label) ? [axis] : [])) ?? [];
}

function roleOf(coupling: Coupling, value: Value, axis: number): CoupledRole {
  const use = coupling.graph.uses(value)[0];
  const node = use?.node;
  if (!node) return "parameter";
  const standard = node.domain === "";
  if (standard && node.op === "BatchNormalization") return use.index >= 3 ? "statistics" : "parameter";
  if (standard && node.op === "Gather") return "producer";
  if (standard && node.op === "Einsum")
    return einsumOutputAxes(coupling, node, use.index).includes(axis) ? "producer" : "consumer";
  const weight = use.index === 1 ? outputAxis(node, value.data!.shape.length) : undefined;
  if (weight === undefined) return use.index === 0 && node.op === "MatMul" ? "consumer" : "parameter";
  return weight === axis ? "producer" : "consumer";
}
