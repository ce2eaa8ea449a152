import type { SliceConstants, SliceContext } from "./slice-context.ts";
/** The constant slices of output 0 along `axis`, from those of the inputs; `undefined` if all vary. */
export type SliceRule = (context: SliceContext, axis: number) => SliceConstants | undefined;
/** What each operator makes of constant channels. An operator without a row makes them vary, which is always safe. */
export declare const sliceRules: Readonly<Record<string, SliceRule>>;
