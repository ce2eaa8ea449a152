import type { DiffOps } from "../operators/diff-ops.ts";
import type { Node } from "../graph/types.ts";

/** A node that is to be written with other operators. */
export interface Decomposed<T> {
  readonly node: Node;
  readonly inputs: readonly (T | undefined)[];
  /** Whether output i is used. */
  readonly wanted: (index: number) => boolean;
}

/**
 * Computes what a node computes by operators of the standard domain that have derivatives, in their forms of operator set 18. One result
 * per output, `undefined` for one that is not wanted.
 *
 * @throws DgateError `UNSUPPORTED` naming the node, for a form of the operator that cannot be written so
 */
export type Decomposition = <T>(ops: DiffOps<T>, at: Decomposed<T>) => readonly (T | undefined)[];

/** Decompositions by operator; of other domains by `domain.Operator`, as `ruleOf` finds them. */
export type DecompositionTable = Readonly<Record<string, Decomposition>>;
