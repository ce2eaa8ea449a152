import { DgateError } from "./errors.ts";

/** Refuses shapes that are not lists of positive whole numbers. */
export function checkShape(where: string, shape: readonly number[]): void {
  const bad = shape.findIndex((size) => !Number.isSafeInteger(size) || size < 1);
  if (bad === -1) return;
  throw new DgateError(
    "SHAPE",
    `${where}: shape [${shape.join(", ")}] has ${shape[bad]} at axis ${bad}, expected whole numbers of at least 1.`,
  );
}

/** Refuses depths that are not whole numbers of at least 2. */
export function checkDepth(where: string, depth: number): void {
  if (Number.isSafeInteger(depth) && depth >= 2) return;
  throw new DgateError("OPTION", `${where}: depth is ${depth}, expected a whole number of at least 2.`);
}

/** Refuses numbers outside `[low, high]`, NaN and infinities. */
export function checkNumber(
  where: string,
  name: string,
  value: number,
  low: number,
  high: number = Infinity,
): void {
  if (Number.isFinite(value) && value >= low && value <= high) return;
  const range = high === Infinity ? `of at least ${low}` : `from ${low} to ${high}`;
  throw new DgateError("OPTION", `${where}: ${name} is ${value}, expected a finite number ${range}.`);
}

/** Number of elements of a tensor of this shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Whether two shapes are the same. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
