import type { DiffOps } from "../operators/diff-ops.ts";
import { int, ints } from "../graph/attribute.ts";
import type { Node } from "../graph/types.ts";
import { floatAttribute, frontAxis, intAttribute, intsAttribute } from "../ops/attributes.ts";
import type { Decomposition, DecompositionTable } from "./decomposition.ts";
import { refuse } from "./refuse.ts";

/** Rank of the data, which has to be known. */
export function rankOf<T>(ops: DiffOps<T>, node: Node, x: T): number {
  return (
    ops.rank(x) ?? refuse(node, "the rank of its input is not known; declare it in the model's value_info")
  );
}

/** The numbers from `start` to before `end`. */
export const axesFrom = (start: number, end: number): readonly number[] =>
  Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);

/** (x − μ) / √(σ² + ε) over axes. */
function standardise<T>(ops: DiffOps<T>, x: T, axes: readonly number[], epsilon: number): T {
  const centred = ops.sub(x, ops.mean(x, axes));
  const variance = ops.mean(ops.square(centred), axes);
  return ops.div(centred, ops.sqrt(ops.shift(variance, epsilon)));
}

/** A vector over axis 1, made to meet a tensor of the given rank. */
function alongChannels<T>(ops: DiffOps<T>, vector: T, rank: number): T {
  return ops.unsqueeze(vector, axesFrom(1, rank - 1));
}

/** γ·x̂ + β with a γ and β for each channel. */
function scaleChannels<T>(ops: DiffOps<T>, x: T, [gamma, beta]: readonly [T, T], rank: number): T {
  return ops.add(ops.mul(x, alongChannels(ops, gamma, rank)), alongChannels(ops, beta, rank));
}

/** γ·(x − μ) / √(σ² + ε) + β over the positions of each channel. */
const instanceNormalization: Decomposition = (ops, { node, inputs: [x, gamma, beta] }) => {
  const rank = rankOf(ops, node, x!);
  const normed = standardise(ops, x!, axesFrom(2, rank), floatAttribute(node, "epsilon", 1e-5));
  return [scaleChannels(ops, normed, [gamma!, beta!], rank)];
};

/**
 * As InstanceNormalization over groups of channels `[N, G, C/G · positions]`. γ and β are one for each channel (opset 21), or one for
 * each group (opset 18).
 */
const groupNormalization: Decomposition = (ops, { node, inputs: [x, gamma, beta] }) => {
  const groups = intAttribute(node, "num_groups", 1);
  const rank = rankOf(ops, node, x!);
  const count = ops.shape(gamma!)?.[0];
  if (typeof count !== "number") return refuse(node, "the size of its scale is not known");
  const grouped = ops.reshape(x!, [0, groups, -1]);
  const normed = standardise(ops, grouped, [2], floatAttribute(node, "epsilon", 1e-5));
  // With one channel a group both mean the same.
  if (count === groups) return [ops.reshapeLike(scaleChannels(ops, normed, [gamma!, beta!], 3), x!)];
  return [scaleChannels(ops, ops.reshapeLike(normed, x!), [gamma!, beta!], rank)];
};

/** (x − μ) / (σ + 10⁻⁹). */
const meanVarianceNormalization: Decomposition = (ops, { node, inputs: [x] }) => {
  const axes = intsAttribute(node, "axes") ?? [0, 2, 3];
  const centred = ops.sub(x!, ops.mean(x!, axes));
  const deviation = ops.sqrt(ops.mean(ops.square(centred), axes));
  return [ops.div(centred, ops.shift(deviation, 1e-9))];
};

/** x / ‖x‖_p along an axis; onnxruntime gives 0 where the norm is 0. */
const lpNormalization: Decomposition = (ops, { node, inputs: [x] }) => {
  const reduction = intAttribute(node, "p", 2) === 1 ? "ReduceL1" : "ReduceL2";
  const norm = ops.reduce(reduction, x!, [intAttribute(node, "axis", -1)], true);
  const isZero = ops.call("Equal", [norm, ops.scalar(0, norm)]);
  return [ops.div(x!, ops.where(isZero, ops.scalar(1, norm), norm))];
};

/** x / (bias + α/size · Σ x²)^β, the sum over `size` neighbouring channels: α times an average that counts the padding. */
const lrn: Decomposition = (ops, { node, inputs: [x] }) => {
  const size = intAttribute(node, "size", 1);
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  // [N, 1, C, positions]
  const image = ops.unsqueeze(ops.reshape(ops.square(x!), [0, 0, -1]), [1]);
  const average = ops.call("AveragePool", [image], {
    kernel_shape: ints([size, 1]),
    pads: ints([before, 0, after, 0]),
    count_include_pad: int(1),
  });
  const local = ops.reshapeLike(ops.squeeze(average, [1]), x!);
  const base = ops.shift(
    ops.scale(local, floatAttribute(node, "alpha", 1e-4)),
    floatAttribute(node, "bias", 1),
  );
  return [ops.mul(x!, ops.pow(base, -floatAttribute(node, "beta", 0.75)))];
};

/** γ·x·r with r = 1/√(mean x² + ε) over the axes from `axis` on; output 1 of onnxruntime's operator is r. */
const rmsNormalization: Decomposition = (ops, { node, inputs: [x, gamma], wanted }) => {
  const rank = rankOf(ops, node, x!);
  const axes = axesFrom(frontAxis(intAttribute(node, "axis", -1), rank), rank);
  const mean = ops.mean(ops.square(x!), axes);
  const inverse = ops.reciprocal(ops.sqrt(ops.shift(mean, floatAttribute(node, "epsilon", 1e-5))));
  return [ops.mul(ops.mul(x!, inverse), gamma!), wanted(1) ? inverse : undefined];
};

/** Normalisations without a derivative rule of their own. */
export const normDecompositions: DecompositionTable = {
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  MeanVarianceNormalization: meanVarianceNormalization,
  LpNormalization: lpNormalization,
  LRN: lrn,
  RMSNormalization: rmsNormalization,
  SimplifiedLayerNormalization: rmsNormalization,
  "com.microsoft.SimplifiedLayerNormalization": rmsNormalization,
};
