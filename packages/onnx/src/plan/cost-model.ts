import { elseBranchOf } from "../ops/flat.ts";
import type { Coupling } from "../coupling/analyse.ts";
import type { SizeUse } from "../coupling/axis-context.ts";
import { int, ints } from "../graph/attribute.ts";
import type { Node, Value, ValueType } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { type Inference, NodeView } from "../infer/view.ts";
import { byteLengthOf, elementCount } from "../io/element-types.ts";
import { countCosts, hasMacs, isWeight, nodeMacs, parametersOf } from "../sites/count-costs.ts";
import { type Cut, editsOf } from "./cut-edits.ts";
import { CutSizes, constantShape, dimSize } from "./cut-sizes.ts";
import type { FeatureGather } from "../prune/feature-inputs.ts";
import { reachable } from "./graph-edits.ts";
import type { ModelSize } from "./model-size.ts";

/** Predicts the cost of a pruned model without making it. */
export interface CostModel {
  /** Cost of the model as it is. */
  readonly whole: ModelSize;
  /** Cost of what `prune` would make of it. */
  readonly under: (cut: Cut) => ModelSize;
}

/** Options of `costModel`. */
export interface CostModelOptions {
  /** Sizes of symbolic dimensions, by name; others count as 1. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Gathers of input features in the graph; one that picks everything costs nothing. */
  readonly gathers?: readonly FeatureGather[];
}

/**
 * The rules of `countCosts`, evaluated on the sizes that channel spaces have under a removal. Shapes, the lists of sizes that
 * a cut writes anew, and what becomes dead code are followed, so that the prediction is the cost of the cut graph exactly.
 * An evaluation takes time in proportion to nodes and constants and touches no weight.
 */
export function costModel(coupling: Coupling, { dims = {}, gathers = [] }: CostModelOptions = {}): CostModel {
  const { graph } = coupling;
  const { macs, parameters, bytes } = countCosts(graph, dims);
  const lists = new Set(gathers.map(({ indices }) => indices));
  const listBytes = [...lists].reduce((total, { data }) => total + byteLengthOf(data!.dtype, data!.shape), 0);
  const inference = inferShapes(graph, { dims });
  const reach = reachable(graph);
  const nodes = graph.nodes();
  const passedOver = elseBranchOf(graph);
  const uses = attributeUses(coupling);
  const packed = packedUses(coupling);
  return {
    whole: { parameters, macs, bytes: bytes - listBytes },
    under(cut) {
      const sizes = new CutSizes(cut.removal);
      const edits = editsOf(coupling, cut, sizes, gathers);
      const left = reach(edits);
      const cost = { parameters: 0, macs: 0, bytes: 0 };
      const dataOf = (value: Value): Pick<Tensor, "dtype" | "shape"> => {
        const { dtype } = value.data!;
        const use = packed.get(value);
        return { dtype, shape: use ? packedShape(use, sizes) : constantShape(coupling, value, sizes) };
      };
      for (const value of left.constants) cost.bytes += bytesOf(dataOf(value));
      for (const { dtype, axes } of left.fresh) {
        const data = { dtype, shape: axes.map((axis) => (typeof axis === "number" ? axis : sizes.of(axis))) };
        cost.bytes += bytesOf(data);
        if (isWeight(data)) cost.parameters += elementCount(data.shape);
      }
      const view = cutView(coupling, inference, sizes);
      const counted = new Set<Value>();
      for (const whole of nodes) {
        if (!left.nodes.has(whole)) continue;
        const node = cutAttributes(whole, uses, sizes);
        const replaced = edits.inputsOf(whole);
        for (const [index, value] of node.inputs.entries()) {
          if (!value?.data || counted.has(value) || replaced?.has(index)) continue;
          const count = parametersOf(graph, node, index, dataOf(value));
          if (count > 0) counted.add(value);
          cost.parameters += count;
        }
        if (hasMacs(node) && !passedOver(whole)) cost.macs += nodeMacs(view(node), dimSize);
      }
      return cost;
    },
  };
}

const bytesOf = ({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): number => byteLengthOf(dtype, shape);

type UseOf<K extends SizeUse["kind"]> = Extract<SizeUse, { kind: K }>;

/** Attributes that are sizes, by node. */
function attributeUses({ sizes }: Coupling): ReadonlyMap<Node, readonly UseOf<"attribute" | "attributes">[]> {
  const found = new Map<Node, UseOf<"attribute" | "attributes">[]>();
  for (const use of sizes) {
    if (use.kind !== "attribute" && use.kind !== "attributes") continue;
    found.set(use.node, [...(found.get(use.node) ?? []), use]);
  }
  return found;
}

/** The node with its attributes as the cut leaves them. */
function cutAttributes(node: Node, uses: ReturnType<typeof attributeUses>, sizes: CutSizes): Node {
  const own = uses.get(node);
  if (!own) return node;
  const attributes = new Map(node.attributes);
  for (const use of own) {
    if (use.kind === "attributes") {
      if (sizes.changed(use.spaces))
        attributes.set(use.name, ints(use.spaces.map((space) => sizes.of(space))));
    } else if (use.space.size !== undefined) attributes.set(use.name, int(sizes.of(use.space)));
  }
  return { ...node, attributes };
}

/** Constants of packed numbers. */
function packedUses({ sizes }: Coupling): ReadonlyMap<Value, UseOf<"packed">> {
  return new Map(sizes.flatMap((use) => (use.kind === "packed" ? [[use.value, use] as const] : [])));
}

/** Every row is padded to whole bytes. */
function packedShape({ value, bits, rows, blocks }: UseOf<"packed">, sizes: CutSizes): readonly number[] {
  const { shape } = value.data!;
  if (!sizes.changed([rows, blocks])) return shape;
  const [height, width] = [sizes.of(rows), Math.ceil((sizes.of(blocks) * bits) / 8)];
  return shape.length === 1 ? [height * width] : [height, width];
}

/** Nodes as the rules for MACs see them, with the shapes that the cut leaves. */
function cutView(
  { graph, axesOf }: Coupling,
  { types, contents }: Inference,
  sizes: CutSizes,
): (node: Node) => NodeView {
  const cutTypes = new Map<Value, ValueType>();
  const see = (value: Value | undefined): void => {
    const type = value && types.get(value);
    if (!value || !type || cutTypes.has(value)) return;
    const axes = axesOf(value);
    const shape = type.shape?.map((dim, axis) => sizes.scaled(dim, axes?.[axis]));
    cutTypes.set(value, { dtype: type.dtype, ...(shape && { shape }) });
  };
  return (node) => {
    for (const value of [...node.inputs, ...node.outputs]) see(value);
    return new NodeView(graph, node, { types: cutTypes, contents });
  };
}
