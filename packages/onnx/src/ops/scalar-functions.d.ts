import type { NodeView } from "../infer/view.ts";
import type { BinaryOp, UnaryOp } from "./families.ts";
/**
 * The function of an element-wise operator on one number, in float64; `undefined` if a parameter is computed at run time.
 * The caller rounds to the element type.
 */
export type ScalarFunction = (view: NodeView) => ((x: number) => number) | undefined;
/** Error function: power series for small |x|, continued fraction of erfc for large; relative error under 1e-14. */
export declare function erf(x: number): number;
/** One row per element-wise operator of one input. */
export declare const unaryFunctions: {
    readonly [Op in UnaryOp]: ScalarFunction;
};
/** One row per broadcasting operator, folded from left to right over its inputs. `Mean` divides by their number at the end. */
export declare const binaryFunctions: {
    readonly [Op in BinaryOp]: (a: number, b: number) => number;
};
