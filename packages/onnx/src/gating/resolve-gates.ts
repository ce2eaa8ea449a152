import { DgateError } from "@dgate/core";
import { Graph, type Value } from "../graph/graph.ts";
import { emitGates } from "./emit-gates.ts";
import { type GatedSite, gatesKey, readGateRecord } from "./gate-record.ts";
import { bindGateSet, type BoundGateSet } from "./gate-sets.ts";
import { sameComputation } from "./same-computation.ts";

/** A gated site and its values in the graph. */
export interface ResolvedGates extends BoundGateSet {
  readonly site: GatedSite;
  /** The D − 1 gate inputs. */
  readonly gates: readonly Value[];
  /** The computed weight of each member. */
  readonly gated: readonly Value[];
}

/**
 * The gates of a model, as its record names them, checked against the graph: weights and gates are there, and between them is
 * what `insertGates` puts there and nothing else, so that folding the gates changes no output. Empty for a model without gates.
 *
 * @throws DgateError `FORMAT` for a record of another form; `GROUP`, `SHAPE` or `UNSUPPORTED` where the graph does not fit it
 */
export function resolveGates(graph: Graph): ResolvedGates[] {
  const record = readGateRecord(graph);
  const resolved = (record?.sites ?? []).map((site): ResolvedGates => {
    const where = whereOf(site);
    const bound = bindGateSet(where, graph, site);
    const gates = site.gates.map((name) => gateInput(graph, where, name, bound));
    const gated = site.members.map((member) => {
      return graph.value(member.gated) ?? changed(where, `the model has no value "${member.gated}"`);
    });
    return { ...bound, site, gates, gated };
  });
  checkComputations(graph, resolved);
  return resolved;
}

function whereOf({ name }: GatedSite): string {
  return `${gatesKey}: site "${name}"`;
}

function changed(where: string, what: string): never {
  throw new DgateError(
    "GROUP",
    `${where}: ${what}. Was the model changed after insertGates? Fold its gates before other tools edit it.`,
  );
}

function gateInput(graph: Graph, where: string, name: string, { dtype, set }: BoundGateSet): Value {
  const value = graph.value(name);
  if (graph.info.irVersion < 4)
    changed(where, `IR version ${graph.info.irVersion} has no inputs with defaults`);
  if (!value || !graph.isInput(value)) return changed(where, `the model has no input "${name}"`);
  const { type } = value;
  if (type?.dtype !== dtype || type.shape?.join() !== String(set.groups)) {
    return changed(where, `the input "${name}" is not ${dtype}[${set.groups}]`);
  }
  return value;
}

/** Emits the gates anew beside the model, and compares. */
function checkComputations(graph: Graph, resolved: readonly ResolvedGates[]): void {
  const model = new Graph("gates", graph.opsets);
  const twins = new Map<Value, Value>();
  const twinOf = (value: Value): Value => {
    const twin = model.value(value.name) ?? model.addValue(value.name, value.type);
    twins.set(twin, value);
    return twin;
  };
  for (const { weights, gates } of resolved) {
    for (const value of [...weights.map((weight) => weight.value), ...gates]) twinOf(value);
  }
  const sets = resolved.map((each) => ({ ...each, name: each.site.name, gates: each.gates.map(twinOf) }));
  const emitted = emitGates(model, sets, (tensor) => model.value(tensor)!);
  const latest = new Map<Value, Value>();
  resolved.forEach(({ site, weights, gated }, s) => {
    gated.forEach((value, m) => {
      const same = sameComputation({ graph: model, value: emitted[s]![m]! }, { graph, value }, (twin) =>
        twins.get(twin),
      );
      if (!same) changed(whereOf(site), `"${value.name}" is not its weight times its gates`);
      const source = latest.get(weights[m]!.value) ?? weights[m]!.value;
      if (graph.uses(source).length !== 1) {
        changed(whereOf(site), `"${source.name}" is used by something else than its gates`);
      }
      latest.set(weights[m]!.value, value);
    });
  });
}
