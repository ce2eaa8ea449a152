import { arrayOps, collapse, type NdArray, ndArray, squaredGroupNorms } from "@dgate/core";
import { resolveGates } from "../gating/resolve-gates.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";

/** The gated model with arrays that were learned in the place of its constants. */
export function withLearned(gated: Graph, arrays: ReadonlyMap<string, Float32Array>): Graph {
  const copy = gated.clone();
  for (const [name, array] of arrays) {
    const value = copy.value(name);
    if (!value?.data) continue;
    const { dtype, shape } = value.data;
    value.data = { ...value.data, bytes: tensorOf(dtype, shape, array).bytes };
  }
  return copy;
}

/** Norms of the groups of a gate set. */
export interface SetNorms {
  /** The site that the set is named after. */
  readonly name: string;
  readonly norms: Float64Array;
}

/** ‖w_j‖₂ of every gate set of a gated model, with arrays that were learned in the place of its constants. */
export function groupNorms(gated: Graph, arrays: ReadonlyMap<string, Float32Array>): SetNorms[] {
  const ops = arrayOps("float64");
  const array = (name: string, shape: readonly number[]): NdArray => {
    const learned = arrays.get(name) ?? readNumbers(gated.value(name)!.data!); // resolveGates: it is a constant
    return ndArray(Float64Array.from(learned), shape);
  };
  return resolveGates(gated).map(({ site, set, gates }) => {
    const primary = set.members.map(({ name, shape }) => array(name, shape));
    const factors = { primary, gates: gates.map(({ name }) => array(name, [set.groups])) };
    const squares = squaredGroupNorms(ops, set, collapse(ops, set, factors));
    return { name: site.name, norms: Float64Array.from(squares.data, Math.sqrt) };
  });
}
