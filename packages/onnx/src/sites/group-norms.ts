import { indicesOf } from "../coupling/analyse.ts";
import type { Tensor } from "../graph/tensor.ts";
import { viewNumbers } from "../io/view-numbers.ts";
import type { Site } from "./site.ts";

/** ‖w_j‖₂ of the slices of a tensor that belong to each group, in float64. */
export function groupNorms(
  tensor: Tensor,
  axis: number,
  { groups, places }: Pick<Site, "groups" | "places">,
): Float64Array {
  const squares = squaredSlices(tensor, axis);
  return Float64Array.from({ length: groups }, (_, group) =>
    Math.sqrt(
      places.flatMap((place) => indicesOf(place, group)).reduce((total, at) => total + squares[at]!, 0),
    ),
  );
}

/** Sum of squares of each slice along an axis. */
export function squaredSlices(tensor: Tensor, axis: number): Float64Array {
  const numbers = viewNumbers(tensor);
  const size = tensor.shape[axis]!;
  const inner = tensor.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const squares = new Float64Array(size);
  for (let start = 0, at = 0; start < numbers.length; start += inner, at = (at + 1) % size) {
    let sum = 0;
    for (let i = start; i < start + inner; i++) sum += numbers[i]! * numbers[i]!;
    squares[at]! += sum;
  }
  return squares;
}
