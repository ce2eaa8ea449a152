import { DgateError, type PlannedAxis, type PrunePlan, fingerprintOf } from "@dgate/core";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementBits } from "../io/element-types.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { withSlices, zeroQuantized } from "./zero-quantized.ts";

/** Names the architecture of a model: what a plan's fingerprint is compared with. Weights' values do not enter. */
export function fingerprint(graph: Graph): string {
  return fingerprintOfNormal(normalise(graph));
}

/** As `fingerprint`, for a graph that is in normal form already. What leads to no output does not enter: edits drop it. */
export function fingerprintOfNormal(graph: Graph): string {
  const live = new Set<Node>();
  const isRead = (value: Value): boolean =>
    graph.uses(value).some(({ node }) => node === undefined || live.has(node));
  for (const node of graph.sorted().toReversed())
    if (node.outputs.some((output) => output && isRead(output))) live.add(node);
  return fingerprintOf(
    graph.initializers
      .filter(isRead)
      .map(({ name, data }) => ({ name, shape: data!.shape, dtype: data!.dtype })),
  );
}

/**
 * The model with the dead groups of a plan zeroed: same shapes, same file size. Exactly the planned slices are touched; a
 * bias is zeroed only if the plan lists it. Quantized weights become what means zero: see `zeroQuantized`. The graph itself is
 * not changed.
 *
 * @throws DgateError `GROUP` if the plan is for another model or names a tensor, axis or index that is not there
 */
export function mask(graph: Graph, plan: PrunePlan): Graph {
  const copy = normalise(graph);
  maskInPlace(copy, plan);
  denormalise(copy);
  return copy;
}

/** Zeroes the planned slices of a graph in normal form. */
export function maskInPlace(graph: Graph, plan: PrunePlan): void {
  const found = fingerprintOfNormal(graph);
  if (plan.fingerprint !== found) {
    throw new DgateError(
      "GROUP",
      `prune: the plan is for model ${plan.fingerprint}, this one is ${found}. Make the plan from this model's sites, with this version.`,
    );
  }
  for (const planned of plan.axes) {
    const value = plannedTensor(graph, planned);
    const dead = deadIndices(planned);
    if (dead.length > 0 && !zeroQuantized(graph, value, planned.axis, dead))
      value.data = zeroed(value.data!, planned.axis, dead);
  }
}

/** The initializer that a planned axis speaks of. */
function plannedTensor(graph: Graph, planned: PlannedAxis): Value {
  const { site, tensor, axis, size, blockSize } = planned;
  const value = graph.value(tensor);
  if (!value?.data) {
    throw new DgateError(
      "GROUP",
      `prune: site "${site}" names the tensor "${tensor}", which the model does not have.`,
    );
  }
  const length = value.data.shape[axis];
  if (length !== size * blockSize) {
    throw new DgateError(
      "GROUP",
      `prune: site "${site}" has ${size} groups of ${blockSize} on axis ${axis} of "${tensor}", ` +
        `which is [${value.data.shape.join(", ")}]. Was the plan made for another model?`,
    );
  }
  return value;
}

/** The indices of the axis that the plan does not keep. */
export function deadIndices({ size, blockSize, kept }: PlannedAxis): number[] {
  const stay = new Set(kept);
  return Array.from({ length: size * blockSize }, (_, i) => i).filter(
    (i) => !stay.has(Math.floor(i / blockSize)),
  );
}

/** A tensor with the slices `indices` of an axis set to zero. */
function zeroed(tensor: Tensor, axis: number, indices: readonly number[]): Tensor {
  const bits = elementBits[tensor.dtype];
  if (tensor.dtype === "string") {
    throw new DgateError("UNSUPPORTED", "mask: slices of a string tensor cannot be zeroed.");
  }
  const { dtype, shape } = tensor;
  if (bits % 8 !== 0) return withSlices(tensor, axis, indices, () => 0);
  const size = shape[axis]!;
  const run = (shape.slice(axis + 1).reduce((a, b) => a * b, 1) * bits) / 8;
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const bytes = new Uint8Array(tensor.bytes); // not slice(), which is no copy where the content is a Buffer
  // Columns of a weight are runs of one number: word by word is many times faster than a call for each.
  const words = run % 4 === 0 ? new Uint32Array(bytes.buffer) : bytes;
  const length = run / words.BYTES_PER_ELEMENT;
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const start = (o * size + index) * length;
      if (length > 32) words.fill(0, start, start + length);
      else for (let i = start; i < start + length; i++) words[i] = 0;
    }
  }
  return { dtype, shape, bytes };
}
