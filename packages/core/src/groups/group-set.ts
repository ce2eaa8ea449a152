import { checkNumber } from "../check.ts";
import { DgateError } from "../errors.ts";
import { checkLayout, type GroupLayout, groupCount, groupSizes } from "./layout.ts";

/** One tensor that takes part in a set of groups. */
export interface GroupMember {
  readonly name: string;
  readonly shape: readonly number[];
  readonly layout: GroupLayout;
}

/**
 * Groups over one or several tensors. Group j is the union of the members' slices j (a neuron's incoming column and
 * its bias; a head's V columns and O rows): the slices share their gates and leave together.
 */
export interface GroupSet {
  /** Number of groups J. */
  readonly groups: number;
  readonly members: readonly GroupMember[];
  /** Penalty weights s_j ≥ 0, which scale λ per group. */
  readonly weights: readonly number[];
  /** Group sizes p_j over all members. */
  readonly sizes: readonly number[];
}

/** Options of `defineGroups`. */
export interface GroupOptions {
  /** s_j: 1 for all (default), √p_j, or given numbers. */
  readonly weights?: "none" | "sqrt-size" | readonly number[];
}

/** Couples tensors into one set of groups; throws `GROUP` or `SHAPE` if they do not fit each other. */
export function defineGroups(members: readonly GroupMember[], options: GroupOptions = {}): GroupSet {
  const [first] = members;
  if (!first) throw new DgateError("GROUP", "defineGroups: no member, expected at least one tensor.");
  for (const { layout, shape } of members) checkLayout(layout, shape);
  const groups = groupCount(first.layout, first.shape);
  for (const { name, layout, shape } of members) {
    const count = groupCount(layout, shape);
    if (count === groups) continue;
    throw new DgateError(
      "GROUP",
      `defineGroups: "${name}" has ${count} groups but "${first.name}" has ${groups}; coupled tensors need equal counts.`,
    );
  }
  const sizes = Array.from({ length: groups }, () => 0);
  for (const { layout, shape } of members) {
    groupSizes(layout, shape).forEach((size, j) => {
      sizes[j]! += size;
    });
  }
  const empty = sizes.indexOf(0);
  if (empty !== -1) {
    throw new DgateError("GROUP", `defineGroups: group ${empty} of "${first.name}" has no element.`);
  }
  return { groups, members, sizes, weights: groupWeights(sizes, options.weights ?? "none") };
}

function groupWeights(
  sizes: readonly number[],
  weights: "none" | "sqrt-size" | readonly number[],
): readonly number[] {
  if (weights === "none") return sizes.map(() => 1);
  if (weights === "sqrt-size") return sizes.map(Math.sqrt);
  if (weights.length !== sizes.length) {
    throw new DgateError("GROUP", `defineGroups: ${weights.length} weights for ${sizes.length} groups.`);
  }
  weights.forEach((weight, j) => checkNumber("defineGroups", `weights[${j}]`, weight, 0));
  return weights;
}
