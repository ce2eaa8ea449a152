import type { Dim } from "../graph/graph.ts";
import { multiplyDims } from "./dims.ts";

/** Runs of input axes and of output axes that hold the same elements in the same order. */
export interface AxisGroup {
  /** Input axes `[from, to)`. */
  readonly input: readonly [from: number, to: number];
  /** Output axes `[from, to)`. */
  readonly output: readonly [from: number, to: number];
  /** False where sizes are not known well enough to say which output index is which input index. */
  readonly exact: boolean;
}

/**
 * Splits a Reshape into its smallest independent parts: `[N, C, H, W] → [N, C·H·W]` is N ↔ N and (C, H, W) ↔ C·H·W.
 * Row-major order makes this the finest split whose partial products agree on both sides.
 */
export function reshapeGroups(input: readonly Dim[], output: readonly Dim[]): AxisGroup[] {
  const front = matchEqual(input, output);
  const tailLimit = Math.min(input.length, output.length) - front;
  const tail = Math.min(tailLimit, matchEqual(input.toReversed(), output.toReversed()));
  const groups: AxisGroup[] = [];
  for (let i = 0; i < front; i++) groups.push(single(i, i));
  groups.push(...middleGroups(input, output, front, tail));
  for (let i = tail; i > 0; i--) groups.push(single(input.length - i, output.length - i));
  return groups;
}

function single(input: number, output: number): AxisGroup {
  return { input: [input, input + 1], output: [output, output + 1], exact: true };
}

/** Length of the common prefix. A 1 may stand on one side only, so a prefix stops where a 1 would be matched with doubt. */
function matchEqual(a: readonly Dim[], b: readonly Dim[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] !== undefined && a[length] === b[length])
    length++;
  return length;
}

function middleGroups(
  input: readonly Dim[],
  output: readonly Dim[],
  front: number,
  tail: number,
): AxisGroup[] {
  const inputEnd = input.length - tail;
  const outputEnd = output.length - tail;
  const groups: AxisGroup[] = [];
  let i = front;
  let o = front;
  while (i < inputEnd || o < outputEnd) {
    const group = nextGroup(input, output, [i, inputEnd], [o, outputEnd]);
    groups.push(group);
    [, i] = group.input;
    [, o] = group.output;
  }
  return groups;
}

/** The shortest runs from `i` and `o` with equal products; everything that is left if there are none. */
function nextGroup(
  input: readonly Dim[],
  output: readonly Dim[],
  [i, inputEnd]: readonly [number, number],
  [o, outputEnd]: readonly [number, number],
): AxisGroup {
  const rest: AxisGroup = {
    input: [i, inputEnd],
    output: [o, outputEnd],
    exact:
      multiplyDims(input.slice(i, inputEnd)) !== undefined &&
      multiplyDims(input.slice(i, inputEnd)) === multiplyDims(output.slice(o, outputEnd)),
  };
  for (let total = 1; total <= inputEnd - i + (outputEnd - o); total++) {
    for (let taken = 0; taken <= Math.min(total, inputEnd - i); taken++) {
      const made = total - taken;
      if (made > outputEnd - o) continue;
      const a = multiplyDims(input.slice(i, i + taken));
      const b = multiplyDims(output.slice(o, o + made));
      if (a !== undefined && a === b) return { input: [i, i + taken], output: [o, o + made], exact: true };
    }
  }
  return rest;
}
