import {
  arrayOps,
  collapse,
  DgateError,
  gateProduct,
  type GroupSet,
  type NdArray,
  ndArray,
  squaredGroupNorms,
} from "@dgate/core";
import type { Graph, Value } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import type { SiteKind } from "../sites/site.ts";
import { gatesKey } from "./gate-record.ts";
import type { GateMember } from "./gate-sets.ts";
import { gateArrays } from "./gate-values.ts";
import { type ResolvedGates, resolveGates } from "./resolve-gates.ts";

/** Options of `foldGates`. */
export interface FoldOptions {
  /** Gates to fold in place of the defaults in the model, by input name: learned ones, say. */
  readonly gates?: Readonly<Record<string, ArrayLike<number>>>;
}

/** What the gates of a site have come to. */
export interface FoldedGroups {
  /** The first of `sites`. */
  readonly name: string;
  /** The sites that shared the gates. */
  readonly sites: readonly string[];
  readonly kind: SiteKind;
  /** Π_d γ_{j,d}, which is now in the weights. */
  readonly gates: Float64Array;
  /** ‖w_j‖₂ of the folded weights, over all members. */
  readonly norms: Float64Array;
  /** The weights that are in the groups, and where. */
  readonly members: readonly GateMember[];
}

/**
 * Multiplies the gates of a model into its weights, `w_j = ω_j · Π_d γ_{j,d}` in float64, and takes out what `insertGates` put
 * in: the model has its former nodes, values and initializers, and `findSites` finds its sites again. Gates of one leave the
 * weights as they are, to the bit.
 *
 * @throws DgateError `NO_MATCH` for a model without gates, `OPTION` for gates of another name, `SHAPE` and `DATA` for gates that do not
 * fit, `FORMAT` and `GROUP` if what the file says of its gates is not so
 */
export function foldGates(
  graph: Graph,
  { gates = {} }: FoldOptions = {},
): { readonly graph: Graph; readonly groups: readonly FoldedGroups[] } {
  const copy = graph.clone();
  const resolved = resolveGates(copy);
  if (resolved.length === 0) {
    throw new DgateError(
      "NO_MATCH",
      `foldGates: graph "${graph.name}" has no gates; insertGates puts them in.`,
    );
  }
  const factors = gateArrays("foldGates", resolved, gates);
  const groups = foldWeights(resolved, factors);
  removeGates(copy, resolved);
  const metadata = new Map(copy.info.metadata);
  metadata.delete(gatesKey);
  copy.info = { ...copy.info, metadata };
  copy.sortNodes();
  return { graph: copy, groups };
}

/** One gate set's part in a weight. */
interface Stage {
  readonly set: GroupSet;
  readonly gates: readonly NdArray[];
  readonly squares: Float64Array;
}

function foldWeights(
  resolved: readonly ResolvedGates[],
  factors: readonly (readonly NdArray[])[],
): FoldedGroups[] {
  const ops = arrayOps("float64");
  const squares = resolved.map(({ set }) => new Float64Array(set.groups));
  // Weight by weight, so that no more than one is held in float64.
  const stages = new Map<Value, Stage[]>();
  resolved.forEach(({ set, weights }, s) => {
    weights.forEach(({ value }, m) => {
      const stage = { set: { ...set, members: [set.members[m]!] }, gates: factors[s]!, squares: squares[s]! };
      stages.set(value, [...(stages.get(value) ?? []), stage]);
    });
  });
  for (const [value, own] of stages) foldWeight(value, own);
  return resolved.map(({ site: { name, sites, kind, members } }, s) => {
    const gates = Float64Array.from(gateProduct(ops, factors[s]!).data);
    const places = members.map(({ tensor, axis, places: at }) => ({ tensor, axis, places: at }));
    return { name, sites, kind, gates, norms: squares[s]!.map(Math.sqrt), members: places };
  });
}

/** Gives a weight its folded content, and adds the squared norms of its slices to the stages' sums. */
function foldWeight(value: Value, stages: readonly Stage[]): void {
  const ops = arrayOps("float64");
  const before = value.data!; // bindGateSet: it is a constant
  const { dtype, shape } = before;
  const unit = stages.every(({ gates }) => gates.every(({ data }) => data.every((gate) => gate === 1)));
  const primary = ndArray(Float64Array.from(readNumbers(before)), shape);
  const weight = unit
    ? primary
    : stages.reduce((w, { set, gates }) => collapse(ops, set, { primary: [w], gates })[0]!, primary);
  if (!unit) value.data = { ...before, bytes: tensorOf(dtype, shape, weight.data).bytes };
  for (const { set, squares } of stages) {
    squaredGroupNorms(ops, set, [weight]).data.forEach((square, j) => {
      squares[j]! += square;
    });
  }
}

/** Lets the weights be used as they are, and removes the gates with all that computed with them. */
function removeGates(graph: Graph, resolved: readonly ResolvedGates[]): void {
  const kept = new Set(
    resolved.flatMap(({ weights, gates }) => [...weights.map(({ value }) => value), ...gates]),
  );
  const sources = new Map<Value, Value>();
  for (const { weights, gated } of resolved) weights.forEach(({ value }, m) => sources.set(value, gated[m]!));
  for (const [weight, gated] of sources) {
    graph.replaceUses(gated, weight);
    removeUnused(graph, gated, kept);
  }
  for (const { site, gates } of resolved) {
    for (const gate of gates) {
      if (graph.uses(gate).length > 0) {
        throw new DgateError(
          "GROUP",
          `foldGates: the gate "${gate.name}" of site "${site.name}" is used outside of its weights; fold before the model is edited.`,
        );
      }
      if (gate.data) graph.removeInitializer(gate);
      else graph.removeInput(gate);
    }
  }
}

/** Removes what computes a value that nothing uses, with the constants that only it read. */
function removeUnused(graph: Graph, value: Value, kept: ReadonlySet<Value>): void {
  const node = graph.producer(value);
  if (graph.uses(value).length > 0 || kept.has(value)) return;
  if (!node) {
    if (value.data) graph.removeInitializer(value);
    return;
  }
  const { inputs } = node;
  graph.remove(node);
  for (const input of new Set(inputs)) if (input) removeUnused(graph, input, kept);
}
