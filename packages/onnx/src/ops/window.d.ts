import type { Dim, Node } from "../graph/graph.ts";
/** How a window slides along the spatial axes of Conv, ConvTranspose and the poolings. All lists are per spatial axis. */
export interface Window {
    readonly kernel: readonly number[];
    readonly strides: readonly number[];
    readonly dilations: readonly number[];
    /** Elements added before and after; unknown (`undefined`) where `auto_pad` depends on a symbolic input size. */
    readonly pads: readonly (readonly [before: number, after: number] | undefined)[];
}
/** The window of a node, given its kernel size and the spatial input size (for `auto_pad`). */
export declare function windowOf(node: Node, kernel: readonly number[], spatial: readonly Dim[]): Window;
/** out = ⌊(in + pads − dilation·(kernel − 1) − 1) / stride⌋ + 1; ⌈·⌉ with `ceil_mode`, ⌈in / stride⌉ with SAME. */
export declare function slidOutput(node: Node, window: Window, spatial: readonly Dim[]): Dim[];
/** out = stride·(in − 1) + output_padding + dilation·(kernel − 1) + 1 − pads, or what `output_shape` says. */
export declare function transposedOutput(node: Node, window: Window, spatial: readonly Dim[]): Dim[];
/** Whether the window may see padding; where the pads are not known, it may. */
export declare function isPadded(window: Window): boolean;
