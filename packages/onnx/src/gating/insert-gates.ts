import { DgateError, initialFactors } from "@dgate/core";
import type { Graph, Value } from "../graph/graph.ts";
import { stringAttribute } from "../ops/attributes.ts";
import { mergeDomain } from "../ops/flat.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { fingerprintOfNormal } from "../prune/mask.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { chooseSites } from "../sites/choose-sites.ts";
import type { Site, SiteKind } from "../sites/site.ts";
import { type EmittedSet, emitGates } from "./emit-gates.ts";
import { type GatedSite, gatesKey, printGates } from "./gate-record.ts";
import { bindGateSet, type BoundGateSet, type GatedRole, type GateSet, gateSetsOf } from "./gate-sets.ts";

/** Options of `insertGates`. */
export interface GateOptions {
  /** D: each group gets D − 1 gates (default 2, the group lasso; 3 and 4 are sparser). */
  readonly depth?: number;
  /**
   * How gates start. `ones` (default): the weights stay as they are. `balanced`: `γ_{j,d} = ‖w_j‖^{1/D}` and the weights are
   * divided by them, which closes the gap between the smooth and the sparse penalty; a group of zeros gets gates of one, so
   * that it can learn. Either way the model computes what it did.
   */
  readonly initial?: "ones" | "balanced";
  /** Which of the sites, by name or kind. By default all that can be pruned but `inputs`; of heads × head dim, the heads. */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /**
   * Coupled slices that are in the groups beside a site's own weight, by kind of site. By default the consumers of `heads` (O
   * beside V, or beside the one weight that makes Q, K and V) and of `queries` (O beside Q), else none: biases and
   * normalisation are not gated.
   */
  readonly roles?: { readonly [K in SiteKind]?: readonly GatedRole[] };
}

const defaultRoles: GateOptions["roles"] & {} = { heads: ["consumer"], queries: ["consumer"] };

/**
 * A model whose chosen groups are gated: `w_j = ω_j · Π_d γ_{j,d}` is computed in the graph, with ω in the weight's own
 * initializer and D − 1 gates `[groups]` per site, named `SITE.gate.1`, `SITE.gate.2` …. Gates are graph inputs with a default,
 * so the model runs as before wherever it is opened, and a caller can feed other gates. Sites that share their channels share
 * their gates, named after the first of them, for only together can they go.
 *
 * Constants and sizes are as `normalise` stores them. The model is of IR version 4 at least, the first with inputs that have defaults; what
 * IR 3 had to list as inputs beside them are constants then. `foldGates` takes the gates out again.
 *
 * @param sites of this model, from `findSites`
 * @throws DgateError `OPTION` for a depth below 2, `NO_MATCH` if no site is left, `UNSUPPORTED` for a site that cannot be pruned,
 * a quantized weight or a model that is gated already, `GROUP` for sites of another model
 */
export function insertGates(graph: Graph, sites: readonly Site[], options: GateOptions = {}): Graph {
  const { depth = 2, initial = "ones", roles = {} } = options;
  checkOptions(depth, initial);
  const copy = normalise(graph);
  const chosen = chooseSites(sites, options.sites ? { sites: options.sites } : {});
  checkModel(copy, chosen);
  allowDefaults(copy);
  const sets = gateSetsOf(chosen, (kind) => roles[kind] ?? defaultRoles[kind] ?? []);
  const bound = sets.map((set) => {
    checkBranches(copy, set);
    return bindGateSet(`insertGates: site "${set.name}"`, copy, set);
  });
  const start = bound.map((set) => (initial === "ones" ? ones(set, depth) : balanced(copy, set, depth)));
  const emitted: EmittedSet[] = sets.map(({ name }, s) => {
    const { dtype } = bound[s]!;
    return { ...bound[s]!, name, gates: start[s]!.map((gate, d) => addGate(copy, name, d + 1, dtype, gate)) };
  });
  const gated = redirected(copy, bound, () => emitGates(copy, emitted, (tensor) => copy.value(tensor)!));
  denormalise(copy);
  const record = sets.map((set, s): GatedSite => {
    const { name, kind, sites: names, groups } = set;
    const gates = emitted[s]!.gates.map((gate) => gate.name);
    const members = set.members.map((member, m) => ({ ...member, gated: gated[s]![m]!.name }));
    return { name, kind, sites: names, groups, gates, members };
  });
  const metadata = new Map(copy.info.metadata).set(gatesKey, printGates({ depth, sites: record }));
  copy.info = { ...copy.info, metadata };
  return copy;
}

function checkOptions(depth: number, initial: string): void {
  if (!Number.isSafeInteger(depth) || depth < 2) {
    throw new DgateError(
      "OPTION",
      `insertGates: depth is ${depth}, expected a whole number of at least 2 (2 is the group lasso, 3 and 4 are sparser).`,
    );
  }
  if (initial !== "ones" && initial !== "balanced") {
    throw new DgateError("OPTION", `insertGates: initial is "${initial}", expected "ones" or "balanced".`);
  }
}

function checkModel(graph: Graph, [site]: readonly Site[]): void {
  if (graph.info.metadata.has(gatesKey)) {
    throw new DgateError(
      "UNSUPPORTED",
      "insertGates: the model is gated already; take its gates out first, with foldGates, and gate all sites at once.",
    );
  }
  const found = fingerprintOfNormal(graph);
  if (site && site.fingerprint !== found) {
    throw new DgateError(
      "GROUP",
      `insertGates: the sites are of model ${site.fingerprint}, this one is ${found}. Take the sites of this model.`,
    );
  }
}

/** The branches of an If lie in the normal graph, but their constants go back into them. */
function checkBranches(graph: Graph, { name, members }: GateSet): void {
  const prefixes = graph.nodes("Merge", mergeDomain).flatMap((merge) => {
    return ["then", "else"].map((branch) => stringAttribute(merge, `${branch}_prefix`, ""));
  });
  const own = members.find(({ tensor }) => prefixes.some((prefix) => tensor.startsWith(prefix)));
  if (!own) return;
  throw new DgateError(
    "UNSUPPORTED",
    `insertGates: site "${name}" has the weight "${own.tensor}", which lies inside a branch of an If; ` +
      "only weights of the main graph, which branches may share, can be gated. Leave the site out.",
  );
}

/** From IR 4 on an input may have a default, and only such an input can be overridden. */
function allowDefaults(graph: Graph): void {
  const { info } = graph;
  if (info.irVersion >= 4) return;
  graph.info = { ...info, irVersion: 4 };
  for (const input of graph.inputs) if (input.data) graph.undeclareInput(input);
}

function ones({ set }: BoundGateSet, depth: number): Float64Array[] {
  return Array.from({ length: depth - 1 }, () => new Float64Array(set.groups).fill(1));
}

/** Balanced gates; the weights of the graph become the primary weights. */
function balanced(graph: Graph, { set, weights }: BoundGateSet, depth: number): Float64Array[] {
  // A set before this one may have changed the weights: they are read anew.
  const numbers = weights.map(({ value }) => Float64Array.from(readNumbers(value.data!)));
  const { primary, gates } = initialFactors(set, numbers, { depth, scheme: "balanced" });
  weights.forEach(({ value, dtype }, m) => {
    const before = value.data!;
    value.data = { ...before, bytes: tensorOf(dtype, before.shape, primary[m]!).bytes };
  });
  // Zero gates of zero weights would have no gradient, ever.
  return gates.map((gate) => gate.map((g) => (g === 0 ? 1 : g)));
}

function addGate(
  graph: Graph,
  site: string,
  d: number,
  dtype: BoundGateSet["dtype"],
  values: Float64Array,
): Value {
  const name = graph.freshName(`${site}.gate.${d}`);
  const gate = graph.addInitializer(name, tensorOf(dtype, [values.length], values));
  graph.declareInput(gate);
  return gate;
}

/** Lets all that used the weights of the sets use what `emit` makes of them. */
function redirected(graph: Graph, sets: readonly BoundGateSet[], emit: () => Value[][]): Value[][] {
  const weights = new Set(sets.flatMap((set) => set.weights.map(({ value }) => value)));
  const before = new Map([...weights].map((weight) => [weight, new Set(graph.uses(weight))]));
  const gated = emit();
  const last = new Map<Value, Value>();
  sets.forEach((set, s) => set.weights.forEach(({ value }, m) => last.set(value, gated[s]![m]!)));
  for (const [weight, made] of last) {
    const own = graph.uses(weight).filter((use) => use.index >= 0 && !before.get(weight)!.has(use));
    graph.replaceUses(weight, made);
    for (const { node, index } of own) graph.setInput(node!, index, weight); // of emitted nodes: no outputs
  }
  return gated;
}
