import { DgateError } from "@dgate/core";
import { describeNode } from "../../graph/types.ts";
import { floatAttribute, frontAxis, intAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpTable } from "../vjp.ts";

/** x̂ = (x − μ)/σ and 1/σ of LayerNormalization. The node gives μ and 1/σ as its second and third output. */
function layerStatistics<T>(ops: DiffOps<T>, { node, inputs }: Applied<T>): { unit: T; inverse: T } {
  const [, mean, inverse] = ops.apply("LayerNormalization", inputs, Object.fromEntries(node.attributes), 3);
  return { unit: ops.mul(ops.sub(inputs[0]!, mean!), inverse!), inverse: inverse! };
}

function normalisedAxes<T>(ops: DiffOps<T>, { node, inputs: [x] }: Applied<T>): number[] {
  const rank = ops.rank(x!);
  const axis = intAttribute(node, "axis", -1);
  if (rank === undefined && axis === -1) return [-1];
  if (rank === undefined) {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: the rank that ${describeNode(node)} normalises is not known; declare it in the model's value_info.`,
    );
  }
  const first = frontAxis(axis, rank);
  return Array.from({ length: rank - first }, (_, i) => first + i);
}

/** With h = g∘scale: (h − mean(h) − x̂·mean(h∘x̂)) / σ. */
const layerInput: Vjp = (ops, at, g) => {
  const { unit, inverse } = layerStatistics(ops, at);
  const axes = normalisedAxes(ops, at);
  const scaled = ops.mul(g, at.inputs[1]!);
  const along = ops.mul(unit, ops.mean(ops.mul(scaled, unit), axes));
  const offset = ops.add(along, ops.mean(scaled, axes));
  return ops.mul(ops.sub(scaled, offset), inverse);
};

/** Per-channel parameters of BatchNormalization, shaped to meet `[N, C, …]`. */
function perChannel<T>(ops: DiffOps<T>, x: T, parameter: T): T {
  const rank = ops.rank(x) ?? 2;
  return ops.unsqueeze(
    parameter,
    Array.from({ length: Math.max(0, rank - 2) }, (_, i) => i + 1),
  );
}

/** Sum over all axes but the channels'. */
function overChannels<T>(ops: DiffOps<T>, x: T): T {
  const rank = ops.rank(x) ?? 2;
  return ops.sum(
    x,
    Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1),
    false,
  );
}

/** 1/√(var + ε), per channel. */
function inverseDeviation<T>(ops: DiffOps<T>, { node, inputs }: Applied<T>): T {
  if (intAttribute(node, "training_mode", 0) !== 0) {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: ${describeNode(node)} (domain "ai.onnx") is in training mode; export the model for inference, with fixed statistics.`,
    );
  }
  return ops.reciprocal(ops.sqrt(ops.shift(inputs[4]!, floatAttribute(node, "epsilon", 1e-5))));
}

const batchInput: Vjp = (ops, at, g) => {
  const factor = ops.mul(at.inputs[1]!, inverseDeviation(ops, at));
  return ops.mul(g, perChannel(ops, at.inputs[0]!, factor));
};

/** Σ g∘x̂ = (Σ g∘x − μ·Σ g) / σ */
const batchScale: Vjp = (ops, at, g) => {
  const [x, , , mean] = at.inputs;
  const centred = ops.sub(x!, perChannel(ops, x!, mean!));
  return ops.mul(overChannels(ops, ops.mul(g, centred)), inverseDeviation(ops, at));
};

const batchMean: Vjp = (ops, at, g) => {
  const factor = ops.mul(at.inputs[1]!, inverseDeviation(ops, at));
  return ops.neg(ops.mul(overChannels(ops, g), factor));
};

/** −½ · scale · Σ g∘(x − μ) / σ³ */
const batchVariance: Vjp = (ops, at, g) => {
  const inverse = inverseDeviation(ops, at);
  const sums = ops.mul(batchScale(ops, at, g), at.inputs[1]!);
  return ops.scale(ops.mul(sums, ops.square(inverse)), -0.5);
};

/** Normalisations that are not written with other operators in the training form. */
export const normalisations: VjpTable = {
  LayerNormalization: [
    layerInput,
    (ops, at, g) => ops.mul(g, layerStatistics(ops, at).unit),
    (_, __, g) => g,
  ],
  BatchNormalization: [batchInput, batchScale, (ops, _, g) => overChannels(ops, g), batchMean, batchVariance],
};
