import { DgateError } from "@dgate/core";

/** Element types that transformers.js has files for, by its names, with what stands at the end of the file's name. */
export const dtypeSuffixes = {
  fp32: "",
  fp16: "_fp16",
  q8: "_quantized",
  int8: "_int8",
  uint8: "_uint8",
  q4: "_q4",
  q4f16: "_q4f16",
  bnb4: "_bnb4",
} as const;

/** The name of an element type in transformers.js. */
export type Dtype = keyof typeof dtypeSuffixes;

/** The order in which files are tried where no type is asked for: learning is most exact on the least quantized. */
export const preferredDtypes: readonly Dtype[] = [
  "fp32",
  "fp16",
  "q8",
  "int8",
  "uint8",
  "q4",
  "q4f16",
  "bnb4",
];

/**
 * Checks a name that a caller gave.
 * @throws DgateError `OPTION`
 */
export function checkDtype(where: string, dtype: string): Dtype {
  if (Object.hasOwn(dtypeSuffixes, dtype)) return dtype as Dtype; // a key of the table
  throw new DgateError(
    "OPTION",
    `${where}: dtype "${dtype}" is not known; there are ${Object.keys(dtypeSuffixes).join(", ")}.`,
  );
}
