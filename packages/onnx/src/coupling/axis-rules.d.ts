import type { AxisContext } from "./axis-context.ts";
/** Ties the axes of one operator; what it does not mention is blocked. */
export type AxisRule = (context: AxisContext) => void;
/** How each operator ties axes. An operator without a row blocks every axis of what it reads and writes. */
export declare const axisRules: Readonly<Record<string, AxisRule>>;
