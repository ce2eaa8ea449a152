import type { Node } from "../graph/graph.ts";

/** An integer attribute, or the operator's default. */
export function intAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "int" ? attribute.value : fallback;
}

/** A float attribute (an exporter may have written it as an integer), or the operator's default. */
export function floatAttribute(node: Node, name: string, fallback: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "float" || attribute?.kind === "int" ? attribute.value : fallback;
}

/** A text attribute, or the operator's default. */
export function stringAttribute(node: Node, name: string, fallback: string): string {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "string" ? attribute.value : fallback;
}

/** A list of integers, `undefined` where the attribute is left out. */
export function intsAttribute(node: Node, name: string): readonly number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "ints" ? attribute.value : undefined;
}

/** A list of floats, `undefined` where the attribute is left out. */
export function floatsAttribute(node: Node, name: string): readonly number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "floats" ? attribute.value : undefined;
}

/** An axis counted from the front: `-1` of rank 4 is 3. */
export function frontAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
