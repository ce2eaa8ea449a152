import { DgateError } from "@dgate/core";
import { describeNode, type Node } from "../../graph/types.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";

/** The size of an axis: a number, or an int64 vector of one element where it is known only when the graph runs. */
export type Size<T> = number | T;

/** The size of one axis. */
export function sizeAt<T>(ops: DiffOps<T>, x: T, axis: number): Size<T> {
  const dim = ops.shape(x)?.[axis];
  return typeof dim === "number" ? dim : ops.sizeOf(x, axis);
}

/** Reshape to sizes of which some may be known only when the graph runs; none of them is 0 or −1. */
export function reshapeTo<T>(ops: DiffOps<T>, x: T, sizes: readonly Size<T>[]): T {
  const open = sizes.filter((size) => typeof size !== "number").length;
  if (open <= 1)
    return ops.reshape(
      x,
      sizes.map((size) => (typeof size === "number" ? size : -1)),
    );
  const parts = sizes.map((size) => (typeof size === "number" ? ops.int64([size]) : size));
  return ops.call("Reshape", [x, ops.concat(parts, 0)]);
}

/** The refusal of a node of which no derivative can be written. */
export function unsupported(node: Node, reason: string): DgateError {
  return new DgateError("UNSUPPORTED", `derivative of ${describeNode(node)}: ${reason}`);
}

/** 0, 1, …, count − 1. */
export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

export const product = (numbers: readonly number[]): number => numbers.reduce((a, b) => a * b, 1);
