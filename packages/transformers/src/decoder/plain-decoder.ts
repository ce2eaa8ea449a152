import { DgateError } from "@dgate/core";
import { type Graph, selectBranch, type Tensor } from "@dgate/onnx";

/** Whether a graph is a decoder whose first and later steps are branches of an If, as optimum's `decoder_model_merged.onnx`. */
export const isMerged = (graph: Graph): boolean =>
  graph.inputs.some(({ name }) => name === "use_cache_branch") && graph.nodes("If").length > 0;

/** A decoder as a graph that can be trained. */
export interface PlainDecoder {
  /** Without branches and pasts: its first step. Blocks, nodes and constants have the names that they have in the whole. */
  readonly graph: Graph;
  /**
   * The whole decoder with the constants of a trained copy of `graph`.
   *
   * @throws DgateError `UNSUPPORTED` for a trained constant that the branches do not share
   */
  readonly restore: (trained: Graph) => Graph;
}

/** The first step of a merged decoder; any other graph stays as it is. */
export function plainDecoder(decoder: Graph): PlainDecoder {
  if (!isMerged(decoder)) return { graph: decoder, restore: (trained) => trained };
  const graph = selectBranch(decoder, false);
  return { graph, restore: (trained) => withTrained(decoder, graph, trained) };
}

function withTrained(decoder: Graph, plain: Graph, trained: Graph): Graph {
  const copy = decoder.clone();
  const branches = copy
    .nodes("If")
    .flatMap(({ attributes }) =>
      [...attributes.values()].flatMap((attribute) => (attribute.kind === "graph" ? [attribute.value] : [])),
    );
  for (const { name, data: before } of plain.initializers) {
    const after = trained.value(name)?.data;
    if (!after || after === before) continue;
    const holders = copy.value(name)?.data ? [copy] : branches.filter((branch) => branch.value(name)?.data);
    const shared = holders[0] === copy || holders.length === branches.length;
    if (!shared && !sameBytes(before!, after)) {
      throw new DgateError(
        "UNSUPPORTED",
        `learn: only one branch of the merged decoder holds the weight "${name}", so that the other one would not learn; merge the decoder again with optimum, which shares equal weights.`,
      );
    }
    for (const holder of holders) holder.setData(holder.value(name)!, after);
  }
  return copy;
}

const sameBytes = (a: Tensor, b: Tensor): boolean =>
  a.bytes.length === b.bytes.length && a.bytes.every((byte, i) => byte === b.bytes[i]);
