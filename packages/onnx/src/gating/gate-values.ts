import { DgateError, type NdArray, ndArray } from "@dgate/core";
import { readNumbers } from "../io/tensor-data.ts";
import type { ResolvedGates } from "./resolve-gates.ts";

/**
 * The gates of each set as float64 arrays `[groups]`: those given by input name, else the defaults in the model.
 *
 * @throws DgateError `OPTION` for a name that is no gate and for a gate without default that is not given, `SHAPE` for another
 * count, `DATA` for gates that are not finite
 */
export function gateArrays(
  where: string,
  resolved: readonly ResolvedGates[],
  given: Readonly<Record<string, ArrayLike<number>>> = {},
): NdArray[][] {
  const names = resolved.flatMap(({ gates }) => gates.map(({ name }) => name));
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new DgateError(
      "OPTION",
      `${where}: there is no gate "${unknown}"; the model has ${names.join(", ") || "none"}.`,
    );
  }
  return resolved.map(({ set, gates }) =>
    gates.map(({ name, data }) => {
      const values = Object.hasOwn(given, name) ? given[name] : data && readNumbers(data);
      if (!values) {
        throw new DgateError(
          "OPTION",
          `${where}: the gate "${name}" has no default in the model; give its values.`,
        );
      }
      if (values.length !== set.groups) {
        throw new DgateError(
          "SHAPE",
          `${where}: gate "${name}" has ${set.groups} groups, got ${values.length} values.`,
        );
      }
      const numbers = Float64Array.from(values);
      const bad = numbers.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) {
        throw new DgateError(
          "DATA",
          `${where}: gate "${name}" is ${numbers[bad]} at group ${bad}; did training diverge?`,
        );
      }
      return ndArray(numbers, [set.groups]);
    }),
  );
}
