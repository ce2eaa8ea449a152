import { DgateError } from "@dgate/core";
import type { Dim } from "../graph/graph.ts";
import type { RunnerValue } from "./open-runner.ts";

/** `float32[batch, 4]`; a dimension without name or size is `?`. */
export function printType(dtype: string | undefined, shape: readonly Dim[] | undefined): string {
  return `${dtype ?? "?"}${shape ? `[${shape.map((dim) => dim ?? "?").join(", ")}]` : ""}`;
}

/** Whether two shapes can be of one tensor: same rank, same fixed sizes. Names and unknown sizes fit anything. */
export function shapesFit(a: readonly Dim[] | undefined, b: readonly Dim[] | undefined): boolean {
  // The runtimes give [] both for a scalar and for an unknown shape.
  if (!a?.length || !b?.length) return true;
  return (
    a.length === b.length &&
    a.every((dim, i) => typeof dim !== "number" || typeof b[i] !== "number" || dim === b[i])
  );
}

/**
 * Every input must be fed, an optional one can be, and nothing else.
 * @throws DgateError `OPTION` for a missing or unknown input
 */
export function checkNames(
  inputs: readonly RunnerValue[],
  optional: readonly RunnerValue[],
  feeds: Readonly<Record<string, unknown>>,
): void {
  const takes = [...inputs, ...optional].map(({ name }) => name);
  const given = Object.keys(feeds);
  const missing = inputs.find(({ name }) => !given.includes(name));
  const unknown = given.find((name) => !takes.includes(name));
  if (!missing && unknown === undefined) return;
  const what = missing ? `input "${missing.name}" is not fed` : `there is no input "${unknown}"`;
  const needed = inputs.map(printInput).join(", ") || "none";
  const more = optional.length > 0 ? ` and can take ${optional.map(printInput).join(", ")}` : "";
  throw new DgateError(
    "OPTION",
    `run: ${what}; the model takes ${needed}${more}, given are ${given.join(", ") || "none"}.`,
  );
}

/**
 * A feed must have the type, rank and fixed sizes of its input, as far as the runtime tells them.
 * @throws DgateError `SHAPE` naming the input, what it takes and what was given
 */
export function checkFeed(
  { name, dtype, shape }: RunnerValue,
  given: { readonly type: string; readonly dims: readonly number[] },
): void {
  const typed = dtype === undefined || dtype === given.type;
  if (typed && shapesFit(shape, given.dims)) return;
  throw new DgateError(
    "SHAPE",
    `run: input "${name}" takes ${printType(dtype, shape)}, got ${printType(given.type, given.dims)}; ` +
      `feed { data, shape } that fit.`,
  );
}

/** `x float32[batch, 4]` */
export function printInput({ name, dtype, shape }: RunnerValue): string {
  return dtype ? `${name} ${printType(dtype, shape)}` : name;
}
