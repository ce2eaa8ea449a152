import { stringAttribute } from "./attributes.ts";
import type { NodeView } from "../infer/view.ts";

/** What the axes of an Einsum are: one label per axis; those of an ellipsis are `…0`, `…1`, counted from the last. */
export interface EinsumLabels {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
}

/**
 * The labels of a node's axes; `undefined` where ranks are not known or do not fit the equation. Without `->` the output has
 * the labels that occur once, in alphabetical order, after those of an ellipsis.
 */
export function einsumLabels(view: NodeView): EinsumLabels | undefined {
  const [left = "", right] = stringAttribute(view.node, "equation", "").replaceAll(/\s/g, "").split("->");
  const terms = left.split(",");
  if (terms.length !== view.node.inputs.length) return undefined;
  const inputs: string[][] = [];
  for (const [i, term] of terms.entries()) {
    const labels = expand(term, view.shape(i)?.length);
    if (!labels) return undefined;
    inputs.push(labels);
  }
  const all = inputs.flat();
  const dots = [...new Set(all.filter((label) => label.startsWith("…")))].sort().reverse();
  if (right === undefined) {
    const once = [...new Set(all)].filter(
      (label) => !label.startsWith("…") && all.indexOf(label) === all.lastIndexOf(label),
    );
    return { inputs, output: [...dots, ...once.sort()] };
  }
  const output = right.includes("...")
    ? right.split("...").flatMap((part, i) => (i === 0 ? [...part.split(""), ...dots] : part.split("")))
    : right.split("");
  return { inputs, output };
}

function expand(term: string, rank: number | undefined): string[] | undefined {
  if (rank === undefined) return undefined;
  const [front = "", back] = term.split("...");
  if (back === undefined) return front.length === rank ? front.split("") : undefined;
  const hidden = rank - front.length - back.length;
  if (hidden < 0) return undefined;
  return [
    ...front.split(""),
    ...Array.from({ length: hidden }, (_, i) => `…${hidden - 1 - i}`),
    ...back.split(""),
  ];
}
