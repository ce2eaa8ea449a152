import type { GroupLayout, GroupSet } from "@dgate/core";

/**
 * The group of each element, by plain index arithmetic: written apart from @dgate/core so that the two can be compared.
 */
export function groupOfElements(layout: GroupLayout, shape: readonly number[]): number[] {
  const size = shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: size }, (_, flat) => {
    const index: number[] = [];
    shape.toReversed().reduce((rest, n) => {
      index.unshift(rest % n);
      return Math.floor(rest / n);
    }, flat);
    switch (layout.kind) {
      case "axis":
        return index[layout.axis]!;
      case "axes":
        return layout.axes.reduce((group, axis) => group * shape[axis]! + index[axis]!, 0);
      case "blocks":
        return Math.floor(index[layout.axis]! / layout.blockSize);
      case "tensor":
        return 0;
      case "elements":
        return flat;
      case "indices":
        return layout.assignment[index[layout.axis]!]!;
      default:
        return layout.assignment[flat]!;
    }
  });
}

/** Plain numbers of one gated group set. */
export interface PlainFactors {
  readonly primary: readonly ArrayLike<number>[];
  readonly gates: readonly ArrayLike<number>[];
}

/** Everything the gating algebra computes, by loops over elements. */
export interface ReferenceGating {
  readonly collapsed: number[][];
  /** ‖ω_j‖² */
  readonly primarySquares: number[];
  readonly smooth: number;
  readonly sparse: number;
  readonly gap: number;
  readonly imbalance: number[][];
  readonly smoothGradient: { readonly primary: number[][]; readonly gates: number[][] };
  readonly frozen: number;
}

/** The equations of design.md §2 in plain loops, float64. */
export function referenceGating(
  set: GroupSet,
  { primary, gates }: PlainFactors,
  lambda: number,
): ReferenceGating {
  const depth = gates.length + 1;
  const groupsOf = set.members.map(({ layout, shape }) => groupOfElements(layout, shape));
  const perGroup = (value: (j: number) => number): number[] => set.sizes.map((_, j) => value(j));
  const squares = (tensors: readonly ArrayLike<number>[]): number[] => {
    const sums = perGroup(() => 0);
    groupsOf.forEach((groups, m) => {
      groups.forEach((j, i) => {
        if (j >= 0) sums[j]! += tensors[m]![i]! ** 2;
      });
    });
    return sums;
  };
  const total = (values: readonly number[]): number =>
    values.reduce((sum, v, j) => sum + set.weights[j]! * v, 0);
  const product = perGroup((j) => gates.reduce((pi, gate) => pi * gate[j]!, 1));
  const collapsed = groupsOf.map((groups, m) =>
    groups.map((j, i) => primary[m]![i]! * (j < 0 ? 1 : product[j]!)),
  );
  const primarySquares = squares(primary);
  const weightSquares = squares(collapsed);
  const gateSquares = perGroup((j) => gates.reduce((sum, gate) => sum + gate[j]! ** 2, 0));
  const smooth = (lambda / depth) * total(perGroup((j) => primarySquares[j]! + gateSquares[j]!));
  const sparse = lambda * total(weightSquares.map((square) => square ** (1 / depth)));
  const slope = (2 * lambda) / depth;
  return {
    collapsed,
    primarySquares,
    smooth,
    sparse,
    gap: smooth - sparse,
    imbalance: gates.map((gate) => perGroup((j) => primarySquares[j]! - gate[j]! ** 2)),
    smoothGradient: {
      primary: groupsOf.map((groups, m) =>
        groups.map((j, i) => (j < 0 ? 0 : slope * set.weights[j]! * primary[m]![i]!)),
      ),
      gates: gates.map((gate) => perGroup((j) => slope * set.weights[j]! * gate[j]!)),
    },
    frozen: (lambda / gates.length) * total(gateSquares),
  };
}
