import { DgateError } from "@dgate/core";
import { int, string } from "../../graph/attribute.ts";
import { describeNode } from "../../graph/types.ts";
import { frontAxis, intAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpTable } from "../vjp.ts";
import { scatterAlong } from "./scatter-along.ts";

const adding = { reduction: string("add") };

/**
 * Slices that were picked are added at their places. A run of places that is known is padded with zeros, which is cheaper than a scatter.
 */
const gather: Vjp = (ops, at, g) => {
  const [x, indices] = at.inputs;
  const [rank, picked] = [ops.rank(x!), ops.rank(indices!)];
  if (rank === undefined || picked === undefined) return refuse(at, "reads tensors of unknown rank");
  const axis = frontAxis(intAttribute(at.node, "axis", 0), rank);
  const flat = flattened(ops, g, axis, picked, x!);
  const run = knownRun(ops, indices!, ops.shape(x!)?.[axis]);
  if (run) {
    const pads = Array.from({ length: 2 * rank }, () => 0);
    [pads[axis], pads[axis + rank]] = run;
    return pads.every((pad) => pad === 0)
      ? flat
      : ops.call("Pad", [flat, ops.int64(pads), ops.scalar(0, flat)]);
  }
  const list = ops.cast(picked === 1 ? indices! : ops.reshape(indices!, [-1]), "int64");
  return scatterAlong(ops, flat, axis, list, ops.sizeOf(x!, axis));
};

/** The cotangent with the axes of the indices as one. */
function flattened<T>(ops: DiffOps<T>, g: T, axis: number, picked: number, x: T): T {
  if (picked === 1) return g;
  if (picked === 0) return ops.unsqueeze(g, [axis]);
  const rank = ops.rank(x)!; // looked at by the caller
  const sizes = Array.from({ length: rank }, (_, i) => (i === axis ? ops.int64([-1]) : ops.sizeOf(x, i)));
  return ops.call("Reshape", [g, ops.concat(sizes, 0)]);
}

/** How many places lie before and after indices that are known to be consecutive. */
function knownRun<T>(ops: DiffOps<T>, indices: T, size: unknown): readonly [number, number] | undefined {
  const known = ops.integers(indices);
  if (!known || known.length === 0 || typeof size !== "number") return undefined;
  const first = frontAxis(known[0]!, size);
  if (known.some((index, i) => frontAxis(index, size) !== first + i)) return undefined;
  return [first, size - first - known.length];
}

function refuse<T>({ node }: Applied<T>, why: string): never {
  throw new DgateError(
    "UNSUPPORTED",
    `gradients: ${describeNode(node)} (domain "ai.onnx") ${why}, which has no derivative rule.`,
  );
}

const axisOf = <T>({ node }: Applied<T>): { axis: ReturnType<typeof int> } => ({
  axis: int(intAttribute(node, "axis", 0)),
});

const gatherElements: Vjp = (ops, at, g) => {
  const [x, indices] = at.inputs;
  return ops.call("ScatterElements", [ops.zerosLike(x!), indices, g], { ...axisOf(at), ...adding });
};

const gatherND: Vjp = (ops, at, g) => {
  const [x, indices] = at.inputs;
  if (intAttribute(at.node, "batch_dims", 0) !== 0) return refuse(at, "has batch_dims");
  return ops.call("ScatterND", [ops.zerosLike(x!), indices, g], adding);
};

/** Of data that updates replace or are added to. */
const scatterData = (op: "ScatterElements" | "ScatterND"): Vjp => {
  return (ops, at, g) => {
    const reduction = stringAttribute(at.node, "reduction", "none");
    if (reduction === "add") return g;
    if (reduction !== "none") return refuse(at, `has the reduction "${reduction}"`);
    const zeros = ops.zerosLike(at.inputs[2]!);
    return ops.call(op, [g, at.inputs[1], zeros], op === "ScatterND" ? {} : axisOf(at));
  };
};

const scatterUpdates = (op: "GatherElements" | "GatherND"): Vjp => {
  return (ops, at, g) => {
    const reduction = stringAttribute(at.node, "reduction", "none");
    if (reduction !== "add" && reduction !== "none") return refuse(at, `has the reduction "${reduction}"`);
    return ops.call(op, [g, at.inputs[1]], op === "GatherND" ? {} : axisOf(at));
  };
};

/** Operators that pick elements by indices, or put them there. */
export const indexing: VjpTable = {
  Gather: [gather],
  GatherElements: [gatherElements],
  GatherND: [gatherND],
  ScatterElements: [scatterData("ScatterElements"), undefined, scatterUpdates("GatherElements")],
  ScatterND: [scatterData("ScatterND"), undefined, scatterUpdates("GatherND")],
};
