import type { Dim } from "../graph/graph.ts";
import { divideDims } from "../infer/dims.ts";

/** A part of an axis that Reshape may move from one axis to another: the batch, the heads, the features of a head. */
export interface Atom {
  readonly dim: Dim;
  /** Set where one index of an axis was picked: of Q, K and V stacked, 0, 1 or 2. */
  readonly picked?: number;
}

/** The atoms of an axis, row-major. */
export type Axis = readonly Atom[];

export type Layout = readonly Axis[];

/**
 * Which parts of axes go where when a value is reshaped and transposed. An axis starts as one atom; a Reshape that divides it
 * divides the atom, in all layouts that hold it.
 */
export class AxisAtoms {
  readonly #parts = new Map<Atom, Axis>();

  /** One new atom for each axis. */
  fresh(shape: readonly Dim[]): Layout {
    return shape.map((dim) => [{ dim }]);
  }

  /** A layout in terms of the atoms that are not divided. */
  resolve(layout: Layout): Layout {
    return layout.map((axis) => this.#flatten(axis));
  }

  /** Lets whole axes have the sizes by which a shape calls them: a mask of fixed size gives its scores that size, which others do not know. */
  rename(layout: Layout, shape: readonly Dim[]): void {
    this.resolve(layout).forEach(([atom, second], axis) => {
      const dim = shape[axis];
      if (atom && !second && dim !== undefined && dim !== atom.dim) this.#parts.set(atom, [{ dim }]);
    });
  }

  /** The layout of the same elements in another shape; `undefined` where sizes are not known well enough. */
  reshape(layout: Layout, shape: readonly Dim[]): Layout | undefined {
    const open = this.resolve(layout).flat();
    const axes: Atom[][] = [];
    for (const dim of shape) {
      const axis = this.#take(open, dim);
      if (!axis) return undefined;
      axes.push(axis);
    }
    if (open.some(({ dim }) => dim !== 1) || axes.length === 0) return undefined;
    axes.at(-1)!.push(...open);
    return axes;
  }

  /** Takes atoms of the product `dim` off the front. */
  #take(open: Atom[], dim: Dim): Atom[] | undefined {
    const axis: Atom[] = [];
    let left = dim;
    // An axis of one element takes an atom of one element, if that is next.
    for (let atom = open[0]; atom && (left !== 1 || axis.length === 0); atom = open[0]) {
      // Two unknown sizes may differ.
      if (atom.dim === undefined || left === undefined) return undefined;
      const rest = atom.dim === left ? 1 : divideDims(left, atom.dim);
      if (rest === undefined) {
        const over = atom.picked === undefined ? divideDims(atom.dim, left) : undefined;
        if (over === undefined) return undefined;
        const parts: Axis = [{ dim: left }, { dim: over }];
        this.#parts.set(atom, parts);
        open.splice(0, 1, ...parts);
        continue;
      }
      axis.push(atom);
      open.shift();
      left = rest;
    }
    return left === 1 ? axis : undefined;
  }

  #flatten(axis: Axis): Axis {
    return axis.flatMap((atom) => {
      const parts = this.#parts.get(atom);
      return parts ? this.#flatten(parts) : [atom];
    });
  }
}

/** Parts of one element, which may stand anywhere. */
const isUnit = ({ dim, picked }: Atom): boolean => dim === 1 && picked === undefined;

/** Whether a layout has exactly these axes. */
export function isLayout(layout: Layout, expected: Layout): boolean {
  return (
    layout.length === expected.length &&
    layout.every((axis, i) => {
      const [own, other] = [axis, expected[i]!].map((atoms) => atoms.filter((atom) => !isUnit(atom)));
      return own!.length === other!.length && own!.every((atom, j) => atom === other![j]);
    })
  );
}
