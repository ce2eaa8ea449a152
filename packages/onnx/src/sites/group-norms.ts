import { indicesOf } from "../coupling/analyse.ts";
import type { Tensor } from "../graph/tensor.ts";
import { numberPieces } from "../io/number-pieces.ts";
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
  const size = tensor.shape[axis]!;
  const inner = tensor.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const squares = new Float64Array(size);
  let slice = 0;
  let left = inner; // elements of the slice that are still to come
  for (const numbers of numberPieces(tensor)) {
    for (let i = 0; i < numbers.length; ) {
      const end = Math.min(numbers.length, i + left);
      left -= end - i;
      let sum = 0;
      for (; i < end; i++) sum += numbers[i]! * numbers[i]!;
      squares[slice]! += sum;
      if (left > 0) continue;
      left = inner;
      slice = (slice + 1) % size;
    }
  }
  return squares;
}
