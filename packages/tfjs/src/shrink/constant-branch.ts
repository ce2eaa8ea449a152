import { DgateError } from "@dgate/core";
import { type Node, readNumbers, type Tensor } from "@dgate/onnx";
import type { LayerEntry } from "../gating/model-config.ts";
import type { SmallWeight } from "./read-back.ts";

/** ε and 1 − ε are exact in float32, so that the layer's 1/√(σ² + ε) is exactly one. */
const epsilon = 2 ** -10;

/** The constant that an Add or Mul has in the place of a branch. */
export function constantOperand({ op, inputs }: Node): Tensor | undefined {
  return op === "Add" || op === "Mul" ? inputs.find((input) => input?.data)?.data : undefined;
}

/** A BatchNormalization in a model config, called on one tensor. */
export function normalizationEntry(
  name: string,
  inbound: NonNullable<LayerEntry["inboundNodes"]>[number][number],
): LayerEntry {
  return {
    name,
    className: "BatchNormalization",
    config: { name, trainable: true, axis: -1, epsilon, center: true, scale: true },
    inboundNodes: [[inbound]],
  };
}

/** Weights with which a BatchNormalization computes `x + c` or `x · c` for the node's constant c per channel. */
export function normalizationWeights(node: Node, path: string): ReadonlyMap<string, SmallWeight> {
  const constant = constantOperand(node);
  if (!constant) throw new Error(`unreachable: node ${node.name} has no constant`);
  if (constant.shape.filter((size) => size !== 1).length > 1) {
    throw new DgateError(
      "UNSUPPORTED",
      `shrink: "${path}" is left with a constant of shape [${constant.shape.join(", ")}], expected one number per ` +
        `channel; leave the layers before it ungated as wholes (site "layer").`,
    );
  }
  const values = Float32Array.from(readNumbers(constant));
  const filled = (value: number): Float32Array => new Float32Array(values.length).fill(value);
  const [gamma, beta] = node.op === "Add" ? [filled(1), values] : [values, filled(0)];
  const weights = { gamma, beta, movingMean: filled(0), movingVariance: filled(1 - epsilon) };
  return new Map(
    Object.entries(weights).map(([name, data]) => [
      name,
      { shape: [data.length], values: data, made: false },
    ]),
  );
}
