import type { Node } from "../graph/graph.ts";
/** An integer attribute, or the operator's default. */
export declare function intAttribute(node: Node, name: string, fallback: number): number;
/** A float attribute (an exporter may have written it as an integer), or the operator's default. */
export declare function floatAttribute(node: Node, name: string, fallback: number): number;
/** A text attribute, or the operator's default. */
export declare function stringAttribute(node: Node, name: string, fallback: string): string;
/** A list of integers, `undefined` where the attribute is left out. */
export declare function intsAttribute(node: Node, name: string): readonly number[] | undefined;
/** A list of floats, `undefined` where the attribute is left out. */
export declare function floatsAttribute(node: Node, name: string): readonly number[] | undefined;
/** An axis counted from the front: `-1` of rank 4 is 3. */
export declare function frontAxis(axis: number, rank: number): number;
