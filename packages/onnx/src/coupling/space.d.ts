/**
 * A channel space: the indices of an axis, as far as they are the same things everywhere. Axes that must be cut together
 * share a space. A space is a leaf, a product of spaces (row-major, as a Flatten makes) or a sum of spaces (laid one after
 * the other, as a Concat makes). Spaces are unified like terms: unifying a leaf of 768 with 12 × 64 turns the leaf into
 * that product, so the heads of an attention layer appear by themselves.
 *
 * Sizes are positive. A `symbol` stands for a size that is known at run time only; such a space is never cut.
 */
export declare class Space {
    #private;
    readonly size: number | undefined;
    readonly symbol: string | undefined;
    constructor(size: number | undefined, symbol?: string);
    /** What stands for this space after unification. */
    get root(): Space;
    /** How the root is made of others; `undefined` for a leaf. */
    get parts(): Parts | undefined;
    /** Why indices of this space cannot be removed; empty if they can. */
    get barriers(): readonly string[];
    /** Forbids removing indices of this space, or of any part of it. */
    block(reason: string): void;
    /** The distinct leaves, from the outermost to the innermost. */
    leaves(): Space[];
    /** Lets a leaf be a product or a sum; its barriers pass to the parts. */
    define(parts: Parts): void;
    /** Lets this root stand for what `other` stands for. */
    redirect(other: Space): void;
}
export interface Parts {
    readonly kind: "product" | "sum";
    readonly spaces: readonly Space[];
}
/** The row-major product of spaces; factors of size 1 drop out. */
export declare function product(spaces: readonly Space[]): Space;
/** Spaces one after the other; empty ones drop out. */
export declare function sum(spaces: readonly Space[]): Space;
/**
 * Makes two spaces one: index i of the first is index i of the second. Where they do not divide into common parts, both are
 * blocked with `reason`, which is always safe: nothing of either is removed.
 */
export declare function unify(a: Space, b: Space, reason: string): void;
