import { DgateError, defineGroups, type GroupSet } from "@dgate/core";
import type { Occurrence } from "../coupling/analyse.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { fixedData } from "../graph/fixed-data.ts";
import type { CoupledRole, Site, SiteKind } from "../sites/site.ts";
import { axisLayout } from "./axis-layout.ts";
import type { GateType } from "./graph-ops.ts";

/** Roles of coupled slices that can share the gates of a site's own weight; running statistics are no weights. */
export type GatedRole = Exclude<CoupledRole, "statistics">;

/** Where the groups of a site stand on one axis of a weight. */
export interface GateMember {
  readonly tensor: string;
  readonly axis: number;
  readonly places: readonly Occurrence[];
}

/** Sites that share one set of gates: those on the same channels, such as the layers that add into a residual stream. */
export interface GateSet {
  /** The first of `sites`; the gates are named after it. */
  readonly name: string;
  readonly kind: SiteKind;
  readonly sites: readonly string[];
  readonly groups: number;
  readonly members: readonly GateMember[];
}

/**
 * The gate sets of chosen sites. Group j of a set is the union of the slices j of the sites' own weights and of their coupled
 * slices of the given roles; a tensor that makes the channels and reads them too takes part as their maker.
 */
export function gateSetsOf(
  sites: readonly Site[],
  roles: (kind: SiteKind) => readonly GatedRole[],
): GateSet[] {
  const streams = new Map<number, Site[]>();
  for (const site of sites) streams.set(site.channel, [...(streams.get(site.channel) ?? []), site]);
  return [...streams.values()].map((stream) => {
    const [{ name, kind, groups }] = stream as [Site]; // a stream has the site that opened it
    const members = new Map<string, GateMember>();
    for (const { tensor, axis, places } of stream) {
      const other = members.get(tensor);
      if (other) {
        throw new DgateError(
          "UNSUPPORTED",
          `insertGates: site "${name}" has its groups on the axes ${other.axis} and ${axis} of "${tensor}"; ` +
            "one weight cannot be in the same groups twice. Leave one of the sites out.",
        );
      }
      members.set(tensor, { tensor, axis, places });
    }
    for (const site of stream) {
      for (const { tensor, axis, places, role } of site.coupled) {
        const wanted = role !== "statistics" && roles(site.kind).includes(role);
        if (wanted && !members.has(tensor)) members.set(tensor, { tensor, axis, places });
      }
    }
    return { name, kind, sites: stream.map((site) => site.name), groups, members: [...members.values()] };
  });
}

const gateTypes: ReadonlySet<string> = new Set<GateType>(["float32", "float64", "float16", "bfloat16"]);

/** A weight that can be gated. */
interface GateWeight {
  readonly value: Value;
  readonly data: Tensor;
  readonly dtype: GateType;
}

/**
 * The initializer that a gate set speaks of.
 * @throws DgateError `GROUP` if the graph has no such constant, `UNSUPPORTED` for an integer type: a quantized weight
 */
function gateWeight(where: string, graph: Graph, tensor: string): GateWeight {
  const value = graph.value(tensor);
  const data = value && fixedData(graph, value);
  if (!value || !data) {
    throw new DgateError("GROUP", `${where}: the model has no constant "${tensor}"; was it changed since?`);
  }
  if (!gateTypes.has(data.dtype)) {
    throw new DgateError(
      "UNSUPPORTED",
      `${where}: weight "${tensor}" is ${data.dtype}, expected a floating-point type. ` +
        "Gate, fold and prune the float model, and quantize after that.",
    );
  }
  return { value, data, dtype: data.dtype as GateType }; // one of the set's
}

/** A gate set on the weights of a graph. */
export interface BoundGateSet {
  readonly weights: readonly GateWeight[];
  /** Element type of the gates: that of the weights. */
  readonly dtype: GateType;
  /** The groups in terms of `@dgate/core`; members are named after their tensors. */
  readonly set: GroupSet;
}

/**
 * Finds the weights of a gate set in a graph.
 * @throws DgateError `GROUP` or `SHAPE` if the groups do not fit the weights, `UNSUPPORTED` for weights that are quantized or of
 * several types
 */
export function bindGateSet(where: string, graph: Graph, { groups, members }: GateSet): BoundGateSet {
  const weights = members.map(({ tensor }) => gateWeight(where, graph, tensor));
  const { dtype, value: first } = weights[0]!; // a set has the weight of its first site
  const other = weights.find((weight) => weight.dtype !== dtype);
  if (other) {
    throw new DgateError(
      "UNSUPPORTED",
      `${where}: "${first.name}" is ${dtype} and "${other.value.name}" is ${other.dtype}; weights that share gates must be of one type.`,
    );
  }
  const set = defineGroups(
    members.map(({ tensor, axis, places }, m) => {
      const { shape } = weights[m]!.data;
      const size = shape[axis];
      if (size === undefined) {
        throw new DgateError(
          "GROUP",
          `${where}: "${tensor}" is [${shape.join(", ")}] and has no axis ${axis}.`,
        );
      }
      return {
        name: tensor,
        shape,
        layout: axisLayout(`${where}: "${tensor}"`, groups, places, axis, size),
      };
    }),
  );
  return { weights, dtype, set };
}
