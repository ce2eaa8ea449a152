import { intAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { Node } from "../../graph/types.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import { unsupported } from "./sizes.ts";

/** One axis that Resize resizes by sizes that are known only when the graph runs. */
export interface OpenAxis<T> {
  /** Sizes before and after, as int64 vectors of one element. */
  readonly input: T;
  readonly output: T;
  /** What `scales` says, as a vector of one element; output / input if left out. */
  readonly scale: T | undefined;
}

/** An axis as numbers: sizes and scale as vectors of one element, the positions of the output as a column. */
interface Numbers<T> {
  readonly input: T;
  readonly output: T;
  readonly scale: T;
  readonly positions: T;
}

type Coordinate = <T>(ops: DiffOps<T>, axis: Numbers<T>) => T;

const halfPixel: Coordinate = (ops, { positions, scale }) =>
  ops.shift(ops.div(ops.shift(positions, 0.5), scale), -0.5);

/** Where output elements lie on the input, as `coordinates` of the sizes that are known. */
const coordinates: { readonly [mode: string]: Coordinate } = {
  half_pixel: halfPixel,
  pytorch_half_pixel: (ops, axis) =>
    ops.maskedBy(ops.call("Greater", [axis.output, ops.scalar(1, axis.output)]), halfPixel(ops, axis)),
  half_pixel_symmetric: (ops, axis) => {
    const adjustment = ops.div(axis.output, ops.mul(axis.scale, axis.input));
    const offset = ops.mul(ops.scale(axis.input, 0.5), ops.sub(ops.scalar(1, adjustment), adjustment));
    return ops.add(halfPixel(ops, axis), offset);
  },
  asymmetric: (ops, { positions, scale }) => ops.div(positions, scale),
  align_corners: (ops, { positions, input, output }) => {
    const steps = ops.call("Max", [ops.shift(output, -1), ops.scalar(1, output)]);
    return ops.div(ops.mul(positions, ops.shift(input, -1)), steps);
  },
};

type Rounding = <T>(ops: DiffOps<T>, x: T) => T;

const roundings: { readonly [mode: string]: Rounding } = {
  round_prefer_floor: (ops, x) => ops.call("Ceil", [ops.shift(x, -0.5)]),
  round_prefer_ceil: (ops, x) => ops.call("Floor", [ops.shift(x, 0.5)]),
  floor: (ops, x) => ops.call("Floor", [x]),
  ceil: (ops, x) => ops.call("Ceil", [x]),
};

/**
 * The matrix `[output, input]` of the interpolation along an axis, `nearest` or `linear`, made when the graph runs. What lies outside reads
 * the border.
 *
 * @throws DgateError `UNSUPPORTED` naming the node, for another mode
 */
export function interpolationAtRun<T>(ops: DiffOps<T>, node: Node, axis: OpenAxis<T>, like: T): T {
  const mode = stringAttribute(node, "mode", "nearest");
  const linear = mode === "linear" && intAttribute(node, "antialias", 0) === 0;
  const name = stringAttribute(node, "coordinate_transformation_mode", "half_pixel");
  const coordinate = Object.hasOwn(coordinates, name) ? coordinates[name] : undefined;
  const nearest = stringAttribute(node, "nearest_mode", "round_prefer_floor");
  const round = Object.hasOwn(roundings, nearest) ? roundings[nearest] : undefined;
  if (!coordinate || !round || !(linear || mode === "nearest")) {
    const how = mode === "nearest" ? `${name}, ${nearest}` : `${mode}, ${name}`;
    throw unsupported(
      node,
      `for its mode (${how}) the sizes before and after must be known; give the sizes.`,
    );
  }
  const dtype = ops.dtype(like);
  const [input, output] = [ops.cast(axis.input, dtype), ops.cast(axis.output, dtype)];
  const scale = axis.scale ?? ops.div(output, input);
  const positions = ops.unsqueeze(counting(ops, axis.output, like), [1]);
  const at = coordinate(ops, { input, output, scale, positions });
  const place = linear ? at : round(ops, at);
  const last = ops.shift(input, -1);
  const within = ops.call("Min", [ops.call("Max", [place, ops.scalar(0, place)]), last]);
  // 1 − |distance| where that is positive; of whole numbers, 1 where they are equal.
  const distance = ops.call("Abs", [ops.sub(within, counting(ops, axis.input, like))]);
  return ops.call("Relu", [ops.sub(ops.scalar(1, distance), distance)]);
}

/** 0, 1, …, size − 1, of the element type of `like`. */
function counting<T>(ops: DiffOps<T>, size: T, like: T): T {
  const [zero, one] = [0, 1].map((n) => ops.constant("int64", [], [n]));
  return ops.cast(ops.call("Range", [zero, ops.squeeze(size, [0]), one]), ops.dtype(like));
}
