import {
  findAttention,
  findSites,
  type Graph,
  mask,
  planFrom,
  prune,
  type Site,
  type Tensor,
  verify,
  type VerifyOptions,
} from "@dgate/onnx";

/** What a table says of a model. */
export interface Account {
  readonly found: string;
  readonly oneHead: string;
  readonly halfOfHeads: string;
  readonly halfOfAll: string;
}

/** How a model is fed: given inputs, or random ones. */
export interface Feeding extends Pick<VerifyOptions, "dims" | "runtime"> {
  readonly feeds?: readonly Readonly<Record<string, Tensor>>[];
  /** A larger difference that counts where the runtime rounds to codes of its own, relative to the outputs' scale. */
  readonly within?: number;
}

/** Largest difference between masked and pruned outputs, relative to their scale, that counts as exact. */
const exact = 1e-5;

/** Inspects a model, removes one head, half of all heads and half of what goes by default, and proves each. */
export async function accountOf(graph: Graph, feeding: Feeding): Promise<Account> {
  const sites = findSites(graph);
  const heads = sites.filter(({ kind, prunable }) => kind === "heads" && prunable === true);
  const [first] = heads;
  return {
    found: foundIn(graph),
    oneHead: first ? await outcome(graph, heads, { kept: allButOne(first) }, feeding) : "",
    halfOfHeads: first ? await outcome(graph, heads, { sparsity: 0.5 }, feeding) : "",
    halfOfAll: sites.some(({ prunable }) => prunable === true)
      ? await outcome(graph, sites, { sparsity: 0.5 }, feeding)
      : `declined: ${whyNot(sites)}`,
  };
}

const allButOne = ({ name, groups }: Site): Record<string, number[]> => ({
  [name]: Array.from({ length: groups }, (_, i) => i).filter((i) => i !== Math.min(1, groups - 1)),
});

const whyNot = (sites: readonly Site[]): string =>
  [...new Set(sites.map(({ prunable }) => String(prunable)))].slice(0, 2).join("; ") ||
  "no weights that make channels";

/** `2 × (4 heads of 8)`, with what is declined. */
function foundIn(graph: Graph): string {
  const counts = new Map<string, number>();
  for (const { heads, kvHeads, headDim, prunable } of findAttention(graph)) {
    const shared = kvHeads === heads ? "" : ` on ${kvHeads} key–value heads`;
    const declined = prunable === true ? "" : ` (declined: ${prunable})`;
    const text = `${heads} ${heads === 1 ? "head" : "heads"} of ${headDim}${shared}${declined}`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => (count === 1 ? text : `${count} × (${text})`)).join(", ");
}

/** `exact`, or what stays, or how far masked and pruned are apart. */
export async function outcome(
  graph: Graph,
  sites: readonly Site[],
  options: Parameters<typeof planFrom>[1],
  { feeds, within = 0, ...feeding }: Feeding,
): Promise<string> {
  let plan;
  try {
    plan = planFrom(sites, options);
  } catch (error) {
    return `declined: ${(error as Error).message}`;
  }
  const masked = mask(graph, plan);
  const { graph: small, report } = prune(graph, plan);
  const { inputs, outputs, keptBack } = report;
  const given = feeds ? { feeds, runs: 0 } : { runs: 2 };
  const { maxRelDiff } = await verify(masked, small, { ...feeding, ...given, inputs, outputs });
  if (maxRelDiff > exact && maxRelDiff <= within) {
    return `within ${within * 100} %: the runtime quantizes its weights anew`;
  }
  if (maxRelDiff > exact) return `DIFFERS by ${maxRelDiff.toExponential(0)}`;
  if (report.removed.every(({ groups, kept }) => groups === kept))
    return `nothing went: ${keptBack[0]?.reason}`;
  const held = keptBack.reduce((sum, { groups }) => sum + groups.length, 0);
  return held === 0 ? "exact" : `exact, ${held} kept back: ${keptBack[0]!.reason}`;
}
