import type { Node } from "../../graph/types.ts";
import { floatAttribute, intAttribute, stringAttribute } from "../../ops/attributes.ts";
import { range, unsupported } from "./sizes.ts";

/** One axis that Resize resizes. */
export interface ResizedAxis {
  readonly input: number;
  readonly output: number;
  /** output / input, or what `scales` says. */
  readonly scale: number;
}

type Coordinate = (x: number, axis: ResizedAxis) => number;

/**
 * Where output element x lies on the input, by `coordinate_transformation_mode`. Rounded to float32 at each step as onnxruntime does, since
 * `nearest` may have to decide between two elements equally far.
 */
const coordinates: { readonly [mode: string]: Coordinate } = {
  half_pixel: (x, { scale }) => f32(f32((x + 0.5) / scale) - 0.5),
  pytorch_half_pixel: (x, { scale, output }) => (output > 1 ? f32(f32((x + 0.5) / scale) - 0.5) : 0),
  half_pixel_symmetric: (x, { scale, input, output }) => {
    const adjustment = f32(output / f32(scale * input));
    return f32((input / 2) * (1 - adjustment) + f32(f32((x + 0.5) / scale) - 0.5));
  },
  asymmetric: (x, { scale }) => f32(x / scale),
  align_corners: (x, { input, output }) => (output === 1 ? 0 : f32((x * (input - 1)) / (output - 1))),
};

const f32 = Math.fround;

const roundings: { readonly [mode: string]: (x: number) => number } = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** How a node interpolates along an axis: for output element x, the input elements and what they weigh; some may lie outside. */
export type Interpolation = (
  x: number,
  axis: ResizedAxis,
) => readonly (readonly [at: number, weight: number])[];

/** @throws DgateError `UNSUPPORTED` naming the node, for a mode that is not known here */
export function interpolationOf(node: Node): Interpolation {
  const name = stringAttribute(node, "coordinate_transformation_mode", "half_pixel");
  const coordinate = Object.hasOwn(coordinates, name) ? coordinates[name] : undefined;
  if (!coordinate) throw unsupported(node, `coordinate_transformation_mode "${name}" is not differentiated.`);
  const mode = stringAttribute(node, "mode", "nearest");
  if (mode === "nearest") {
    const nearest = stringAttribute(node, "nearest_mode", "round_prefer_floor");
    const round = Object.hasOwn(roundings, nearest) ? roundings[nearest] : undefined;
    if (!round) throw unsupported(node, `nearest_mode "${nearest}" is not known.`);
    return (x, axis) => [[round(coordinate(x, axis)), 1]];
  }
  if (intAttribute(node, "antialias", 0) !== 0) throw unsupported(node, "antialias is not differentiated.");
  if (mode === "linear") return (x, axis) => linear(coordinate(x, axis));
  const a = floatAttribute(node, "cubic_coeff_a", -0.75);
  if (mode === "cubic") return (x, axis) => cubic(coordinate(x, axis), a);
  throw unsupported(node, `mode "${mode}" is not known.`);
}

function linear(at: number): readonly (readonly [number, number])[] {
  const first = Math.floor(at);
  return [
    [first, first + 1 - at],
    [first + 1, at - first],
  ];
}

/** Keys (1981), cubic convolution with parameter a. */
function cubic(at: number, a: number): readonly (readonly [number, number])[] {
  const first = Math.floor(at) - 1;
  return range(4).map((i): [number, number] => {
    const t = Math.abs(at - first - i);
    const weight = t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : a * (((t - 5) * t + 8) * t - 4);
    return [first + i, weight];
  });
}

/** The matrix `[output, input]` of the interpolation along an axis, in rows. What lies outside reads the border. */
export function interpolationMatrix(node: Node, axis: ResizedAxis): readonly (readonly number[])[] {
  const interpolation = interpolationOf(node);
  const excludes = intAttribute(node, "exclude_outside", 0) !== 0;
  return range(axis.output).map((x) => {
    const all = interpolation(x, axis);
    const within = all.filter(([at]) => at >= 0 && at < axis.input);
    const sum = excludes ? within.reduce((total, [, weight]) => total + weight, 0) : 1;
    const row = range(axis.input).map(() => 0);
    for (const [at, weight] of excludes ? within : all)
      row[Math.max(0, Math.min(axis.input - 1, at))]! += weight / sum;
    return row;
  });
}
