import type { Coupling, Removal } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import type { Dim, Value } from "../graph/graph.ts";
import { sizeOfDim } from "../infer/dims.ts";

/** As `countCosts` takes a dimension: symbols count as 1. */
export const dimSize = (dim: Dim): number => sizeOfDim(dim, () => 1) ?? 1;

/** Sizes of spaces after a cut. A factor that is known at run time only counts as 1: sizes are then in proportion. */
export class CutSizes {
  readonly #removal: Removal;
  readonly #after = new Map<Space, number>();
  readonly #before = new Map<Space, number>();

  constructor(removal: Removal) {
    this.#removal = removal;
  }

  of(space: Space): number {
    return this.#size(
      space.root,
      this.#after,
      (leaf) => (leaf.size ?? 1) - (this.#removal.get(leaf)?.size ?? 0),
    );
  }

  before(space: Space): number {
    return this.#size(space.root, this.#before, (leaf) => leaf.size ?? 1);
  }

  /** A dimension of an axis made of `space`. */
  scaled(dim: Dim, space: Space | undefined): Dim {
    if (!space) return dim;
    const [before, after] = [this.before(space), this.of(space)];
    if (before === after) return dim;
    const size = dimSize(dim);
    return size === before ? after : (size * after) / before;
  }

  /** Whether a number that stands for these spaces is written anew. */
  changed(spaces: readonly Space[]): boolean {
    return spaces.some((space) => space.size !== undefined && this.of(space) !== space.size);
  }

  #size(root: Space, memo: Map<Space, number>, leafSize: (leaf: Space) => number): number {
    const known = memo.get(root);
    if (known !== undefined) return known;
    const { parts } = root;
    const sizes = parts?.spaces.map((part) => this.#size(part.root, memo, leafSize));
    const size =
      sizes?.reduce((a, b) => (parts?.kind === "sum" ? a + b : a * b), parts?.kind === "sum" ? 0 : 1) ??
      leafSize(root);
    memo.set(root, size);
    return size;
  }
}

/** Shape of a constant after a cut. */
export function constantShape({ axesOf }: Coupling, value: Value, sizes: CutSizes): number[] {
  const axes = axesOf(value);
  return value.data!.shape.map((dim, axis) => dimSize(sizes.scaled(dim, axes?.[axis])));
}
