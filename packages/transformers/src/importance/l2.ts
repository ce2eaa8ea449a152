import type { Graph } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import type { Scores } from "../prune/choose-groups.ts";
import { indicesOf, readersOf, siteForm, sumsAlong, weightOf } from "./group-slices.ts";

/**
 * ‖w_j‖₂ of each group's weights, biases not counted:
 *
 *     heads    √( ‖V_h‖² + ‖O_h‖² )     columns of the value projection and rows of the output projection
 *     ffn      √( Σ ‖U_n‖² + ‖W_n‖² )   columns of the first weight (and the gate's, of a gated layer) and rows of the second
 *     layers   the site's own norm: the root mean square of what the branch adds, were its last layer's input white noise
 *
 * In grouped-query attention V_h are the columns of the key–value head and O_h the rows of all its queries. Where one weight makes queries,
 * keys and values, V_h are the columns of all three. Query and key projections of their own do not count: a head whose values or output rows are
 * zero gives nothing, whatever it attends to. The same weights make a head's group in D-Gating.
 *
 * @throws DgateError `GROUP` for blocks of another graph
 */
export function l2Scores(graph: Graph, blocks: readonly GatedBlock[]): Scores {
  const { normal } = siteForm(graph);
  const squares = new Map<string, Float64Array>();
  const squaresAlong = (tensor: string, axis: number): Float64Array => {
    const key = `${axis} ${tensor}`;
    const found = squares.get(key) ?? sumsAlong(weightOf(normal, tensor), axis, (w) => w * w);
    squares.set(key, found);
    return found;
  };
  return new Map(
    blocks.map((block) => {
      if (block.group === "layers") return [block.name, block.site.norms()];
      const slices = [...block.sites, ...readersOf(block)];
      const scores = Float64Array.from({ length: block.groups }, (_, group) => {
        let total = 0;
        for (const { tensor, axis, places } of slices) {
          const along = squaresAlong(tensor, axis);
          for (const at of indicesOf(places, group)) total += along[at]!;
        }
        return Math.sqrt(total);
      });
      return [block.name, scores];
    }),
  );
}
