import type { Dim } from "../graph/graph.ts";
import type { NodeView } from "./view.ts";
/** Elements of the first output in row-major order, `undefined` where they cannot be known before the run. */
export type ContentRule = (view: NodeView) => readonly Dim[] | undefined;
/**
 * Evaluates the integer arithmetic that models do on shapes (`Shape → Gather → Concat → Reshape`), symbols included.
 * Values of rank 0 and 1 only.
 */
export declare const contentRules: Readonly<Record<string, ContentRule>>;
