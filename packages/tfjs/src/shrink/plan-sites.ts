import { DgateError, makePlan, mergePlans, type PlannedAxis, type PrunePlan } from "@dgate/core";
import { fingerprint, type Graph } from "@dgate/onnx";
import { boundAxis, type WeightBinding } from "../export/bindings.ts";
import { layerTable } from "../gating/layer-table.ts";
import type { SiteMember } from "../gating/site.ts";
import type { SiteDecision } from "./decide.ts";

/** Says the dead groups of a LayersModel in the words of its exported graph: which indices of which initializer stay. */
export function planSites(
  graph: Graph,
  bindings: readonly WeightBinding[],
  decisions: readonly SiteDecision[],
  classOf: (layer: string) => string,
): PrunePlan {
  const model = fingerprint(graph);
  const deadLayers = new Set(
    decisions.flatMap(({ site, groups }) =>
      site.kind === "layer" && groups.dead.length > 0 ? site.layer : [],
    ),
  );
  const plans = decisions.map(({ site, groups }) => {
    // Of a layer that goes as a whole, its other sites have nothing left to say.
    const superseded = site.kind !== "layer" && site.members.some(({ layer }) => deadLayers.has(layer));
    const members = groups.dead.length > 0 && !superseded ? site.members : [];
    const axes = members.map((member): PlannedAxis => {
      const place = { ...placeOf(member, bindings, classOf), site: site.name };
      return { ...place, size: site.groups, kept: groups.kept };
    });
    return makePlan({ fingerprint: model, axes });
  });
  return mergePlans([makePlan({ fingerprint: model, axes: [] }), ...plans]);
}

/** Tensor, axis and block of a member in the graph. */
function placeOf(
  member: SiteMember,
  bindings: readonly WeightBinding[],
  classOf: (layer: string) => string,
): Pick<PlannedAxis, "tensor" | "axis" | "blockSize"> {
  const { layer, weight } = member;
  const binding = bindings.find((candidate) => candidate.layer === layer && candidate.weight === weight);
  const whole = member.axis === -1;
  const axis = whole ? outputAxis(classOf(layer), member) : member.axis;
  const bound = binding && boundAxis(binding, axis);
  if (!bound) {
    throw new DgateError(
      "UNSUPPORTED",
      `shrink: axis ${axis} of ${weight} of layer "${layer}" has no place in the exported graph.`,
    );
  }
  const indices = whole ? binding.shape[axis]! : member.blockSize;
  return { tensor: binding.initializer, axis: bound.axis, blockSize: indices * bound.blockSize };
}

/** The axis of a weight that runs over the layer's outputs: where the layer's units are, or the only one. */
function outputAxis(className: string, { weight, layer }: SiteMember): number {
  const row = layerTable.get(className);
  const axis = row?.sites[row.unit]?.find((member) => member.weight === weight)?.axis;
  if (axis !== undefined) return axis;
  // A separable layer's depthwise kernel has the input's channels, no outputs: its units are those of the pointwise one.
  if (weight === "depthwiseKernel") return 2;
  throw new Error(`unreachable: ${weight} of layer ${layer} (${className}) has no output axis`);
}
