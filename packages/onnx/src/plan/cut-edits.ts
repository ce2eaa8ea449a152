import type { Coupling, Removal } from "../coupling/analyse.ts";
import type { SizeUse } from "../coupling/axis-context.ts";
import type { Node } from "../graph/graph.ts";
import type { ResidualBranch } from "../sites/site.ts";
import { cutShape } from "../prune/cut.ts";
import { type CutSizes, constantShape } from "./cut-sizes.ts";
import { emittedLists } from "../prune/emit-sizes.ts";
import type { FeatureGather } from "../prune/feature-inputs.ts";
import type { Fold } from "../prune/fold-constants.ts";
import { GraphEdits, type NewConstant } from "./graph-edits.ts";

/** What goes from a model, as far as its cost is concerned. */
export interface Cut {
  /** Indices of channel spaces that go; only how many they are counts. */
  readonly removal: Removal;
  /** Residual branches that are dead as a whole, and whether they still emit a constant. */
  readonly branches?: readonly { readonly branch: ResidualBranch; readonly emits: boolean }[];
  /** Biases that take up what removed channels emit. */
  readonly folds?: readonly Fold[];
}

/** What the cut writes anew: see `cut`, `foldRemovedConstants` and `dropConstantBranches`, which do it. */
export function editsOf(
  coupling: Coupling,
  { removal, branches = [], folds = [] }: Cut,
  sizes: CutSizes,
  gathers: readonly FeatureGather[],
): GraphEdits {
  const { graph } = coupling;
  const edits = new GraphEdits();
  for (const use of coupling.sizes) editSizeUse(coupling, use, removal, sizes, edits);
  for (const { node, space, mean } of coupling.reductions) {
    const output = node.outputs[0];
    const type = output && coupling.inference.types.get(output);
    // A mean over fewer channels is scaled by one number.
    if (mean && output && type && sizes.changed([space]))
      edits.addBeside(output, { dtype: type.dtype, axes: [] });
  }
  for (const { gather, indices, size } of gathers) {
    if (constantShape(coupling, indices, sizes)[0] === size)
      edits.bypass(gather.outputs[0]!, gather.inputs[0]!);
  }
  for (const value of graph.requiredInputs) {
    if (coupling.caches.inputs.has(value)) continue; // shrinks itself
    for (const space of coupling.axesOf(value) ?? []) {
      if (sizes.of(space) !== sizes.before(space)) edits.addBeside(value, { dtype: "int64", axes: [space] });
    }
  }
  for (const { taker, node, dtype, space } of folds) {
    const bias: NewConstant = { dtype, axes: [space] };
    if (taker) edits.replaceInput(taker.node, taker.input, bias);
    else edits.addBeside(node.outputs[0]!, bias);
  }
  for (const { branch, emits } of branches) dropBranch(coupling, branch, emits, edits);
  return edits;
}

function dropBranch({ graph }: Coupling, branch: ResidualBranch, emits: boolean, edits: GraphEdits): void {
  const sum = graph.value(branch.sum);
  const add = sum && graph.producer(sum);
  const other = add?.inputs[1 - branch.operand];
  if (!sum || !add || !other) return; // gone with a branch around it
  const isOutput = graph.uses(sum).some(({ node }) => node === undefined);
  if (emits || isOutput)
    edits.replaceInput(add, branch.operand, { dtype: branch.dtype, axes: [branch.channels] });
  else edits.bypass(sum, other);
}

function editSizeUse(
  coupling: Coupling,
  use: SizeUse,
  removal: Removal,
  sizes: CutSizes,
  edits: GraphEdits,
): void {
  const list = (node: Node, input: number, length: number): void =>
    edits.replaceInput(node, input, { dtype: listType(node, input), axes: [length] });
  switch (use.kind) {
    case "attribute":
    case "attributes":
    case "packed":
      return; // no constant is made
    case "shape":
      return editShapeOperand(coupling, use, removal, edits);
    case "split":
      if (sizes.changed(use.spaces) && (coupling.graph.opsets.get("") ?? 1) >= 13)
        list(use.node, 1, use.spaces.length);
      return;
    case "slice":
      if (!sizes.changed([use.before, use.taken, use.after])) return;
      for (const input of [1, 2]) list(use.node, input, use.node.inputs[input]!.data!.shape[0] ?? 1);
  }
}

function editShapeOperand(
  coupling: Coupling,
  use: Extract<SizeUse, { kind: "shape" }>,
  removal: Removal,
  edits: GraphEdits,
): void {
  const sizes = cutShape(coupling, use, removal);
  if (!sizes) return;
  const computed = sizes.some((size) => typeof size !== "number");
  const lists = computed ? emittedLists(coupling, sizes) : [{ length: sizes.length }];
  const dtype = computed ? "int64" : listType(use.node, use.input);
  edits.replaceInput(
    use.node,
    use.input,
    ...lists.map((list) => ({ ...list, dtype, axes: [list.length] }) as const),
  );
}

const listType = (node: Node, input: number): "int32" | "int64" =>
  node.inputs[input]?.data?.dtype === "int32" ? "int32" : "int64";
