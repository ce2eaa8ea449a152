import type { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import type { Node, Value } from "../graph/graph.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";

/** A weight times a factor along one of its axes. */
interface ScaledWeight {
  readonly weight: Value;
  /** `[size of the axis]`, or of one element. */
  readonly factor: Value;
  readonly axis: number;
  readonly rank: number;
}

/** Which layers are changed. */
export interface ScaleOptions {
  /** Whether a value is a weight itself, not computed from one and gates. */
  readonly isWeight: (value: Value) => boolean;
  /** Operators of the layers. */
  readonly layers: readonly ("MatMul" | "Gemm" | "Conv")[];
}

/**
 * Lets layers use a weight without its gates, and scales what goes in or comes out instead: `x·(W∘s) = (x·W)∘s` where s is along the output
 * channels, `(x∘s)·W` along the input channels. The gradient of s is then a sum over activations. Where W is frozen, its own gradient, a product
 * as large as the layer's, is not needed any more; else the passes over the weight are saved, which is worth it where activations are no
 * larger than weights. Computes the same up to rounding.
 *
 * @returns the number of layers that were changed
 */
export function scaleActivations(ops: GraphDiffOps, { isWeight, layers }: ScaleOptions): number {
  const { graph } = ops;
  let edits = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of graph.nodes()) {
      const isLayer = node.domain === "" && layers.some((op) => op === node.op);
      const scaled = isLayer && node.inputs[1] && scaledWeight(ops, node.inputs[1], isWeight);
      const result = scaled && rewritten(ops, node, scaled);
      if (!result) continue;
      const output = node.outputs[0]!;
      const isOutput = graph.uses(output).some((use) => use.node === undefined);
      graph.replaceUses(output, result);
      graph.remove(node);
      if (isOutput) graph.rename(result, output.name);
      changed = true;
      edits += 1;
    }
  }
  return edits;
}

/** `Mul(W, s)` of a weight, or of one that was scaled already. */
function scaledWeight(
  ops: GraphDiffOps,
  gated: Value,
  isWeight: (value: Value) => boolean,
): ScaledWeight | undefined {
  const producer = ops.graph.producer(gated);
  const [weight, factor] = producer?.op === "Mul" && producer.domain === "" ? producer.inputs : [];
  if (!weight || !factor || isWeight(factor)) return undefined;
  if (!isWeight(weight) && !scaledWeight(ops, weight, isWeight)) return undefined;
  const [shape, sizes] = [ops.sizes(weight), ops.sizes(factor)];
  if (!shape || !sizes || sizes.length > shape.length) return undefined;
  const stretched = [...Array.from({ length: shape.length - sizes.length }, () => 1), ...sizes];
  const axes = stretched.flatMap((size, axis) => (size === 1 ? [] : [axis]));
  // A weight that is itself repeated along the axis has another shape than the product.
  if (axes.length > 1 || axes.some((axis) => stretched[axis] !== shape[axis])) return undefined;
  return { weight, factor: ops.reshape(factor, [-1]), axis: axes[0] ?? 0, rank: shape.length };
}

function rewritten(ops: GraphDiffOps, node: Node, scaled: ScaledWeight): Value | undefined {
  switch (node.op) {
    case "MatMul":
      return matmul(ops, node, scaled);
    case "Gemm":
      return gemm(ops, node, scaled);
    case "Conv":
      return conv(ops, node, scaled);
    default:
      return undefined;
  }
}

function matmul(ops: GraphDiffOps, { inputs: [x] }: Node, scaled: ScaledWeight): Value | undefined {
  const { weight, factor, axis, rank } = scaled;
  if (rank !== 2) return undefined;
  return axis === 1 ? ops.mul(ops.matmul(x!, weight), factor) : ops.matmul(ops.mul(x!, factor), weight);
}

/** y = α·x·W + β·c */
function gemm(ops: GraphDiffOps, node: Node, { weight, factor, axis }: ScaledWeight): Value | undefined {
  const [x, , bias] = node.inputs;
  const output = axis === (intAttribute(node, "transB", 0) === 0 ? 1 : 0);
  const attributes = Object.fromEntries(node.attributes);
  if (output) {
    const { beta: _, ...rest } = attributes;
    const product = ops.mul(ops.call("Gemm", [x, weight], rest), factor);
    return bias ? ops.add(product, ops.scale(bias, floatAttribute(node, "beta", 1))) : product;
  }
  const transposed = intAttribute(node, "transA", 0) !== 0;
  const input = ops.mul(x!, transposed ? ops.reshape(factor, [-1, 1]) : factor);
  return ops.call("Gemm", [input, weight, bias], attributes);
}

function conv(
  ops: GraphDiffOps,
  node: Node,
  { weight, factor, axis, rank }: ScaledWeight,
): Value | undefined {
  const [x, , bias] = node.inputs;
  const attributes = Object.fromEntries(node.attributes);
  const channels = [-1, ...Array.from({ length: rank - 2 }, () => 1)];
  if (axis === 0) {
    const maps = ops.mul(ops.call("Conv", [x, weight], attributes), ops.reshape(factor, channels));
    return bias ? ops.add(maps, ops.reshape(bias, channels)) : maps;
  }
  if (axis !== 1 || intAttribute(node, "group", 1) !== 1) return undefined;
  return ops.call("Conv", [ops.mul(x!, ops.reshape(factor, channels)), weight, bias], attributes);
}
