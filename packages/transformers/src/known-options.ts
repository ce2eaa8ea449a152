import { DgateError } from "@dgate/core";

/** The names of all options of a function; one that is missing here does not compile. */
export type KnownOptions<T> = { readonly [Name in keyof Required<T>]: true };

/**
 * Refuses options that a function does not have: a misspelt one would be passed over, and its default taken.
 *
 * @throws DgateError `OPTION` with the names that there are
 */
export function checkKnown<T extends object>(where: string, options: T, known: KnownOptions<T>): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  throw new DgateError(
    "OPTION",
    `${where}: there is no option "${unknown}"; there are ${Object.keys(known).join(", ")}.`,
  );
}
