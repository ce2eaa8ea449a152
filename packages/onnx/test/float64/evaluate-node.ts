import type { Attribute } from "../../src/graph/attribute.ts";
import { Call, type Kernel } from "./call.ts";
import { castKernels } from "./cast.ts";
import { contractionKernels } from "./contraction.ts";
import { convolutionKernels } from "./convolution.ts";
import { elementwiseKernels } from "./elementwise.ts";
import { indexingKernels } from "./indexing.ts";
import { movementKernels } from "./movement.ts";
import { normalisationKernels } from "./normalisation.ts";
import { padKernels } from "./pad.ts";
import { poolingKernels } from "./pooling.ts";
import { reductionKernels } from "./reduction.ts";
import { resizeKernels } from "./resize.ts";
import { scatterKernels } from "./scatter.ts";
import { shapeKernels } from "./shape.ts";
import { softmaxKernels } from "./softmax.ts";
import type { Float64Tensor } from "./tensor.ts";

const kernels: ReadonlyMap<string, Kernel> = new Map(
  [
    castKernels,
    contractionKernels,
    convolutionKernels,
    elementwiseKernels,
    indexingKernels,
    movementKernels,
    normalisationKernels,
    padKernels,
    poolingKernels,
    reductionKernels,
    resizeKernels,
    scatterKernels,
    shapeKernels,
    softmaxKernels,
  ].flatMap((table) => Object.entries(table)),
);

/** Whether `evaluateNode` knows the operator. */
export function canEvaluate({ op, domain = "" }: { readonly op: string; readonly domain?: string }): boolean {
  return (domain === "" || domain === "ai.onnx") && kernels.has(op);
}

/**
 * Applies one operator in its form of operator set 18 to 21, in float64: nothing is rounded to the type of the tensors.
 *
 * @param outputs number of outputs wanted; an operator that has fewer gives fewer
 * @throws Error naming an operator that is not implemented, or what does not fit
 */
export function evaluateNode(
  node: {
    readonly op: string;
    readonly domain?: string;
    readonly attributes: ReadonlyMap<string, Attribute>;
  },
  inputs: readonly (Float64Tensor | undefined)[],
  outputs: number,
): Float64Tensor[] {
  const kernel = canEvaluate(node) ? kernels.get(node.op) : undefined;
  if (!kernel) {
    throw new Error(`float64: operator ${node.domain ? `${node.domain}.` : ""}${node.op} is not implemented`);
  }
  const result = kernel(new Call(node, inputs, outputs));
  return Array.isArray(result) ? result.slice(0, outputs) : [result];
}
