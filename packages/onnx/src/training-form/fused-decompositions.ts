import type { DiffOps } from "../operators/diff-ops.ts";
import { type Attribute, float, int } from "../graph/attribute.ts";
import type { Node } from "../graph/types.ts";
import {
  floatAttribute,
  floatsAttribute,
  frontAxis,
  intAttribute,
  stringAttribute,
} from "../ops/attributes.ts";
import type { Decomposition, DecompositionTable } from "./decomposition.ts";
import { activate, biasGelu, fastGelu, gelu, quickGelu } from "./fused-activations.ts";
import { knownSize, refuse } from "./refuse.ts";
import { rmsNormalization } from "./rms-normalization.ts";

/** What onnxruntime's fused normalisations add to the variance where nothing is said. */
const defaultEpsilon = 1e-12;

/** The sum of the terms that are there. */
function sum<T>(ops: DiffOps<T>, [first, ...more]: readonly (T | undefined)[]): T {
  return more.reduce<T>((total, term) => (term === undefined ? total : ops.add(total, term)), first!);
}

/** LayerNormalization over the last axis. */
function normalise<T>(ops: DiffOps<T>, node: Node, x: T, parameters: readonly (T | undefined)[]): T {
  const epsilon = float(floatAttribute(node, "epsilon", defaultEpsilon));
  // onnxruntime breaks down over an empty name at the end.
  const given = parameters.slice(0, parameters.findLastIndex((value) => value !== undefined) + 1);
  return ops.call("LayerNormalization", [x, ...given], { axis: int(-1), epsilon });
}

/** com.microsoft.SkipLayerNormalization: input, skip and bias are added, then normalised; output 3 is the sum. */
const skipNormalization: Decomposition = (ops, { node, inputs, wanted }) => {
  const [x, skip, gamma, beta, bias] = inputs;
  if (wanted(1) || wanted(2)) refuse(node, "it gives its statistics");
  const total = sum(ops, [x, skip, bias]);
  return [normalise(ops, node, total, [gamma, beta]), undefined, undefined, total];
};

/** As SkipLayerNormalization, by the root mean square. */
const skipRms: Decomposition = (ops, { node, inputs, wanted }) => {
  const [x, skip, gamma, bias] = inputs;
  if (wanted(1) || wanted(2)) refuse(node, "it gives its statistics");
  const total = sum(ops, [x, skip, bias]);
  const epsilon = floatAttribute(node, "epsilon", defaultEpsilon);
  return [rmsNormalization(ops, total, { gamma: gamma!, epsilon }), undefined, undefined, total];
};

/** com.microsoft.EmbedLayerNormalization: rows of three tables are added, then normalised; output 1 counts the mask. */
const embedNormalization: Decomposition = (ops, { node, inputs, wanted }) => {
  const [ids, segments, words, places, segmentTable, gamma, beta, mask, positions] = inputs;
  if (ids === undefined || words === undefined || places === undefined)
    return refuse(node, "it lacks inputs");
  const [zero, one] = [ops.int64([0]), ops.int64([1])];
  const placed =
    positions === undefined
      ? ops.call("Slice", [places, zero, ops.sizeOf(ids, 1), zero, one])
      : ops.gather(places, positions, 0);
  const segment =
    segments === undefined || segmentTable === undefined ? undefined : ops.gather(segmentTable, segments, 0);
  const total = sum(ops, [ops.gather(words, ids, 0), placed, segment]);
  const counts = wanted(1) ? countOnes(ops, mask ?? ops.zerosLike(ids)) : undefined;
  return [normalise(ops, node, total, [gamma, beta]), counts, total];
};

/** How many ones are in each row, int32. */
function countOnes<T>(ops: DiffOps<T>, mask: T): T {
  const marks = ops.cast(ops.call("Equal", [mask, ops.scalar(1, mask)]), "int32");
  return ops.reduce("ReduceSum", marks, [1], false);
}

/** `x + bias + skip` */
const biasAdd: Decomposition = (ops, { inputs }) => [sum(ops, inputs)];

/** `a · Gelu(b)` of the halves of `x + bias`. */
const biasSplitGelu: Decomposition = (ops, { node, inputs }) => {
  const total = sum(ops, inputs);
  const rank = ops.rank(total) ?? refuse(node, "the rank of its input is not known");
  const half = knownSize(node, ops.shape(total)?.at(-1), "width of its input") / 2;
  const [a, b] = ops.apply("Split", [total, ops.int64([half, half])], { axis: int(rank - 1) }, 2);
  return [ops.mul(a!, gelu(ops, b!))];
};

/** com.microsoft.BiasSoftmax over the last axis. */
const biasSoftmax: Decomposition = (ops, { node, inputs }) => {
  const total = sum(ops, inputs);
  const rank = ops.rank(total) ?? refuse(node, "the rank of its input is not known");
  const axis = frontAxis(intAttribute(node, "axis", 1), rank);
  if (axis !== rank - 1) refuse(node, "its softmax spans several axes");
  return [ops.call("Softmax", [total], { axis: int(-1) })];
};

/** `α · A·B`, the operands turned on their last two axes, and from `[rows, …batch, columns]`. */
const fusedMatMul: Decomposition = (ops, { node, inputs: [a, b] }) => {
  const [left, right] = [turned(ops, node, a!, "A"), turned(ops, node, b!, "B")];
  return [ops.scale(ops.matmul(left, right), floatAttribute(node, "alpha", 1))];
};

function turned<T>(ops: DiffOps<T>, node: Node, x: T, side: "A" | "B"): T {
  const isTurned = intAttribute(node, `trans${side}`, 0) !== 0;
  const isMoved = intAttribute(node, `transBatch${side}`, 0) !== 0;
  if (!isTurned && !isMoved) return x;
  const rank = ops.rank(x) ?? refuse(node, "the rank of its operands is not known");
  if (rank < 2) return x;
  const batch = Array.from({ length: rank - 2 }, (_, axis) => (isMoved ? axis + 1 : axis));
  const matrix = [isMoved ? 0 : rank - 2, rank - 1];
  return ops.transpose(x, [...batch, ...(isTurned ? matrix.toReversed() : matrix)]);
}

/** The attributes of a node that do not begin with `activation`. */
function plainAttributes({ attributes }: Node): Readonly<Record<string, Attribute>> {
  return Object.fromEntries([...attributes].filter(([name]) => !name.startsWith("activation")));
}

const fusedGemm: Decomposition = (ops, { node, inputs }) => {
  const numbers = ["alpha", "beta", "gamma"].map((name) => {
    const attribute = node.attributes.get(`activation_${name}`);
    return attribute?.kind === "float" ? attribute.value : undefined;
  });
  const name = stringAttribute(node, "activation", "");
  // Selu has no beta.
  const taken = name === "Selu" ? [numbers[0], numbers[2]] : numbers;
  return [activate(ops, node, ops.call("Gemm", inputs, plainAttributes(node)), { name, numbers: taken })];
};

/** Conv, something of the result's shape added, the activation. */
const fusedConv: Decomposition = (ops, { node, inputs: [x, weight, bias, added] }) => {
  const inputs = bias === undefined ? [x, weight] : [x, weight, bias];
  const total = sum(ops, [ops.call("Conv", inputs, plainAttributes(node)), added]);
  const name = stringAttribute(node, "activation", "");
  return [activate(ops, node, total, { name, numbers: floatsAttribute(node, "activation_params") ?? [] })];
};

/** Fused normalisations, activations and products as operators of the standard domain. */
export const fusedDecompositions: DecompositionTable = {
  "com.microsoft.SkipLayerNormalization": skipNormalization,
  "com.microsoft.SkipSimplifiedLayerNormalization": skipRms,
  "com.microsoft.EmbedLayerNormalization": embedNormalization,
  "com.microsoft.BiasGelu": biasGelu,
  "com.microsoft.FastGelu": fastGelu,
  "com.microsoft.QuickGelu": quickGelu,
  "com.microsoft.Gelu": biasGelu,
  "com.microsoft.BiasAdd": biasAdd,
  "com.microsoft.BiasSplitGelu": biasSplitGelu,
  "com.microsoft.BiasSoftmax": biasSoftmax,
  "com.microsoft.FusedMatMul": fusedMatMul,
  "com.microsoft.FusedGemm": fusedGemm,
  "com.microsoft.FusedConv": fusedConv,
};
