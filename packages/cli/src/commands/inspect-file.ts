import { type AttentionLayer, countCosts, findAttention, findSites, type Graph } from "@dgate/onnx";
import { checkDims, openModel } from "./model-file.ts";

/** What `dgate inspect --json` prints. */
export interface InspectDocument {
  readonly path: string;
  readonly parameters: number;
  /** Multiply–adds of one forward pass; open dimensions that `dims` gives no size count as 1. */
  readonly macs: number;
  readonly dims: Readonly<Record<string, number>>;
  /** Open dimensions that were counted as 1. */
  readonly assumed: readonly string[];
  readonly bytes: number;
  readonly operators: Readonly<Record<string, number>>;
  readonly sites: readonly SiteEntry[];
  readonly attention: readonly AttentionLayer[];
  /** Of a model folder or an id of the hub: the files that a pipeline opens. */
  readonly files?: readonly FileEntry[];
  /** Of a folder or id: what `dgate learn` can gate. */
  readonly blocks?: readonly BlockEntry[];
  /** Of a folder or id: places that look like blocks and are none, with the reason. */
  readonly notGated?: readonly { readonly kind: string; readonly place: string; readonly reason: string }[];
  /** Of a folder or id: task of its pipeline, where the architecture tells. */
  readonly task?: string | null;
  /** Of a folder or id: element type of the files that were read. */
  readonly dtype?: string;
}

interface SiteEntry {
  readonly name: string;
  readonly kind: string;
  readonly groups: number;
  readonly prunable: boolean;
  /** Why not, where it is not. */
  readonly reason: string | null;
}

interface FileEntry {
  /** Path in the model. */
  readonly path: string;
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
}

interface BlockEntry {
  readonly site: string;
  readonly kind: string;
  readonly file: string;
  readonly layer: number;
  readonly groups: number;
}

/** What is counted in one graph. */
export type InspectedGraph = Pick<
  InspectDocument,
  "parameters" | "macs" | "assumed" | "operators" | "sites" | "attention"
>;

/** Counts of one ONNX file. */
export async function inspectFile(
  path: string,
  dims: Readonly<Record<string, number>>,
): Promise<InspectDocument> {
  const file = await openModel(path);
  checkDims(file, dims);
  const { parameters, macs, assumed, ...rest } = inspectGraph(file.graph, dims);
  return { path, parameters, macs, dims, assumed, bytes: file.sizeBytes, ...rest };
}

/** Costs, operators, sites and attention layers of a graph. */
export function inspectGraph(graph: Graph, dims: Readonly<Record<string, number>>): InspectedGraph {
  const { parameters, macs, assumed } = countCosts(graph, dims);
  const operators: Record<string, number> = {};
  for (const { op } of graph.nodes()) operators[op] = (operators[op] ?? 0) + 1;
  const sites = findSites(graph).map(({ name, kind, groups, prunable }): SiteEntry => {
    const reason = prunable === true ? null : prunable;
    return { name, kind, groups, prunable: reason === null, reason };
  });
  return { parameters, macs, assumed, operators, sites, attention: findAttention(graph) };
}
