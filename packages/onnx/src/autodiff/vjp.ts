import type { Node } from "../graph/types.ts";
import type { DiffOps } from "../operators/diff-ops.ts";

/** A node whose derivative is taken, on tensors of some kind. */
export interface Applied<T> {
  readonly node: Node;
  readonly inputs: readonly (T | undefined)[];
  /** What the node computed; an output that the model does not name is absent. */
  readonly outputs: readonly (T | undefined)[];
  /** ∂L/∂output for each output; absent where the loss does not depend on it. */
  readonly cotangents: readonly (T | undefined)[];
}

/**
 * Vector–Jacobian product with respect to one input: from `g = ∂L/∂output` (of the first output) to ∂L/∂input. Operators that broadcast may
 * leave it in the broadcast shape: the walk undoes that.
 */
export type Vjp = <T>(ops: DiffOps<T>, at: Applied<T>, g: T) => T;

/** One function per input, `undefined` for an input that is not differentiated; or one for any of many inputs. */
export type VjpRow = readonly (Vjp | undefined)[] | ((index: number) => Vjp);

/** The rules of some operators of the standard domain. */
export type VjpTable = Readonly<Record<string, VjpRow>>;
