import { int, string } from "../../graph/attribute.ts";
import type { Dim, Node } from "../../graph/types.ts";
import { divideDims } from "../../infer/dims.ts";
import { readNumbers } from "../../io/tensor-data.ts";
import { frontAxis, intAttribute, intsAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpTable } from "../vjp.ts";
import { interpolationMatrix, interpolationOf, type ResizedAxis } from "./interpolation.ts";
import { interpolationAtRun } from "./interpolation-at-run.ts";
import { product, range, reshapeTo, type Size, sizeAt, unsupported } from "./sizes.ts";

/** What a node says of one axis of its input. */
interface Request {
  readonly axis: number;
  /** Where its size or scale stands in the list of them. */
  readonly index: number;
  readonly input: Dim;
  /** The size asked for, if sizes are given and it is known. */
  readonly size: Dim;
  /** The factor asked for, or that of the sizes; `undefined` where it is not known. */
  readonly scale: number | undefined;
}

/** The axes that a node may change, with the scale or size that it gives each. */
function requests<T>(
  ops: DiffOps<T>,
  { node, inputs }: Applied<T>,
  shape: readonly Dim[],
): readonly Request[] {
  const listed =
    intsAttribute(node, "axes")?.map((axis) => frontAxis(axis, shape.length)) ?? range(shape.length);
  const bySize = inputs[3] !== undefined;
  if (bySize && stringAttribute(node, "keep_aspect_ratio_policy", "stretch") !== "stretch")
    throw unsupported(node, "only the keep_aspect_ratio_policy stretch is differentiated.");
  const sizes = bySize ? ops.content(inputs[3]!) : undefined;
  const data = bySize ? undefined : node.inputs[2]?.data;
  const scales = data && readNumbers(data);
  const all = listed.map((axis, i): Request => {
    const [input, size] = [shape[axis], sizes?.[i]];
    const quotient =
      typeof size === "number" && typeof input === "number" ? size / input : divideDims(size, input);
    return {
      axis,
      index: i,
      input,
      size,
      scale: scales?.[i] ?? (typeof quotient === "number" ? quotient : undefined),
    };
  });
  return all.filter(({ scale }) => scale !== 1);
}

const growth = ({ scale = 1 }: Request): number => scale;

/** The derivative of a linear map that works axis by axis: the transposed map of each axis in turn. */
const resize: Vjp = (ops, at, g) => {
  const shape = ops.shape(at.inputs[0]!);
  if (!shape) throw unsupported(at.node, "its input has no known rank.");
  const changed = requests(ops, at, shape);
  const repeats = changed.map((request) => repetition(at.node, request));
  if (repeats.every((count) => count !== undefined))
    return sumOfRepeats(ops, at, g, new Map(changed.map(({ axis }, i) => [axis, repeats[i]!])));
  // The axis that shrinks most comes first, which leaves least to do for the others.
  return changed
    .toSorted((a, b) => growth(b) - growth(a))
    .reduce((y, request) => {
      const map = resizedAxis(request);
      return map
        ? alongAxis(ops, at, y, request.axis, interpolationMatrix(at.node, map))
        : alongOpenAxis(ops, at, y, g, request);
    }, g);
};

function resizedAxis({ input, size, scale }: Request): ResizedAxis | undefined {
  if (typeof input !== "number" || scale === undefined) return undefined;
  const output = typeof size === "number" ? size : Math.floor(Math.fround(input * scale));
  return { input, output, scale: Math.fround(scale) };
}

/** How often `nearest` repeats each element, where it does so; this does not depend on the size unless corners are aligned. */
function repetition(node: Node, { input, scale }: Request): number | undefined {
  const mode = stringAttribute(node, "coordinate_transformation_mode", "half_pixel");
  if (scale === undefined || !Number.isInteger(scale) || scale < 1) return undefined;
  if (stringAttribute(node, "mode", "nearest") !== "nearest") return undefined;
  const known = typeof input === "number";
  if (!known && !["half_pixel", "pytorch_half_pixel", "asymmetric"].includes(mode)) return undefined;
  // Elements of a symbolic size are all like the first.
  const size = known ? input : 8;
  const axis = { input: size, output: size * scale, scale };
  const nearest = interpolationOf(node);
  const repeats = range(axis.output).every((x) => nearest(x, axis)[0]![0] === Math.floor(x / scale));
  return repeats ? scale : undefined;
}

function sumOfRepeats<T>(
  ops: DiffOps<T>,
  { inputs }: Applied<T>,
  g: T,
  times: ReadonlyMap<number, number>,
): T {
  const x = inputs[0]!;
  const split: Size<T>[] = [];
  const repeated: number[] = [];
  for (const axis of range(ops.rank(x)!)) {
    split.push(sizeAt(ops, x, axis));
    const count = times.get(axis);
    if (count === undefined) continue;
    repeated.push(split.length);
    split.push(count);
  }
  return repeated.length === 0 ? g : ops.sum(reshapeTo(ops, g, split), repeated, false);
}

/** `Σ_o matrix[o, i] · y[…, o, …]` for each i. */
function alongAxis<T>(
  ops: DiffOps<T>,
  { node }: Applied<T>,
  y: T,
  axis: number,
  matrix: readonly (readonly number[])[],
): T {
  const shape = ops.shape(y);
  if (!shape) throw unsupported(node, "its output has no known rank.");
  const [output, input] = [matrix.length, matrix[0]!.length];
  const dtype = ops.dtype(y);
  if (axis === shape.length - 1) return ops.matmul(y, ops.constant(dtype, [output, input], matrix.flat()));
  const columns = range(input).flatMap((i) => matrix.map((row) => row[i]!));
  const transposed = ops.constant(dtype, [input, output], columns);
  if (axis === shape.length - 2) return ops.matmul(transposed, y);
  const behind = range(shape.length - axis - 1).map((i) => sizeAt(ops, y, axis + 1 + i));
  const known = behind.every((size) => typeof size === "number");
  const inner = known
    ? product(behind)
    : behind
        .map((size) => (typeof size === "number" ? ops.int64([size]) : size))
        .reduce((a, b) => ops.mul(a, b));
  const before = range(axis).map((i) => sizeAt(ops, y, i));
  const flat = ops.matmul(transposed, reshapeTo(ops, y, [...before, output, inner]));
  return reshapeTo(ops, flat, [...before, input, ...behind]);
}

/** The same with a matrix that is made when the graph runs. */
function alongOpenAxis<T>(
  ops: DiffOps<T>,
  { node, inputs: [x, , scales, sizes] }: Applied<T>,
  y: T,
  g: T,
  { axis, index }: Request,
): T {
  const rank = ops.rank(x!)!;
  const scale = scales && !sizes ? ops.slice(scales, 0, index, index + 1) : undefined;
  const ends = { input: ops.sizeOf(x!, axis), output: ops.sizeOf(g, axis), scale };
  const matrix = interpolationAtRun(ops, node, ends, y);
  if (axis === rank - 2) return ops.matmul(ops.transpose(matrix, [1, 0]), y);
  const toEnd = range(rank).map((i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  return ops.transpose(ops.matmul(ops.transpose(y, toEnd), matrix), toEnd);
}

/** Both only move elements, so that the derivative moves them back. */
const depthToSpace: Vjp = (ops, at, g) => {
  const block = intAttribute(at.node, "blocksize", 1);
  const byColumn = stringAttribute(at.node, "mode", "DCR") === "CRD";
  const x = at.inputs[0]!;
  const [batch, height, width] = [0, 2, 3].map((axis) => sizeAt(ops, x, axis));
  const channels = sizeAt(ops, g, 1);
  const blocks = reshapeTo(ops, g, [batch!, channels, height!, block, width!, block]);
  return ops.reshapeLike(ops.transpose(blocks, byColumn ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]), x);
};

const spaceToDepth: Vjp = (ops, { node }, g) =>
  ops.call("DepthToSpace", [g], {
    blocksize: int(intAttribute(node, "blocksize", 1)),
    mode: string("DCR"),
  });

/** Operators that resize images, and those that trade channels for pixels. */
export const resizing: VjpTable = {
  Resize: [resize],
  DepthToSpace: [depthToSpace],
  SpaceToDepth: [spaceToDepth],
};
