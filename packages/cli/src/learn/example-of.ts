import { DgateError } from "@dgate/core";
import type { Example } from "@dgate/transformers";

/** Columns of a table, or keys of JSON objects; usual names are found without. */
export interface Columns {
  readonly textColumn?: string | undefined;
  readonly pairColumn?: string | undefined;
  readonly labelColumn?: string | undefined;
}

const usual = {
  text: ["sentence", "text", "sentence1", "premise", "question", "question1"],
  pair: ["sentence2", "hypothesis", "question2"],
  label: ["label"],
} as const;

/** The options that name columns. */
const flags = { text: "--text-column", pair: "--pair-column", label: "--label-column" } as const;

/**
 * The columns of a table that examples are made of.
 *
 * @throws DgateError `NO_MATCH` naming the columns that there are
 */
export function tableColumns(columns: readonly string[], path: string, given: Columns): Columns {
  const find = (kind: keyof typeof usual, wanted: string | undefined): string | undefined => {
    if (wanted === undefined) return usual[kind].find((name) => columns.includes(name));
    if (columns.includes(wanted)) return wanted;
    throw new DgateError(
      "NO_MATCH",
      `${path}: line 1 has no column "${wanted}"; give ${flags[kind]} one of ${columns.join(", ")}.`,
    );
  };
  const textColumn = find("text", given.textColumn);
  if (textColumn === undefined) {
    throw new DgateError(
      "NO_MATCH",
      `${path}: line 1 names the columns ${columns.map((name) => JSON.stringify(name)).join(", ")}, none of which is ${usual.text.join(", ")}; ` +
        "say which one has the texts with --text-column.",
    );
  }
  return {
    textColumn,
    pairColumn: find("pair", given.pairColumn),
    labelColumn: find("label", given.labelColumn),
  };
}

/**
 * An example of what a line says: a text, a pair of texts, or an object with a text and perhaps a label.
 *
 * @throws DgateError `FORMAT` with the place
 */
export function exampleOf(value: unknown, place: string, columns: Columns): Example {
  if (typeof value === "string") return value;
  if (isPair(value)) return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DgateError("FORMAT", `${place} is neither a text, a pair of texts nor an object with a text.`);
  }
  const fields = value as Readonly<Record<string, unknown>>; // read by key, each checked
  const label = labelOf(fields, place, columns);
  return { text: textOf(fields, place, columns), ...(label !== undefined && { label }) };
}

const isPair = (value: unknown): value is readonly [string, string] =>
  Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string");

function textOf(
  fields: Readonly<Record<string, unknown>>,
  place: string,
  { textColumn, pairColumn }: Columns,
): string | readonly [string, string] {
  const key = textColumn ?? usual.text.find((name) => name in fields);
  const text = key === undefined ? undefined : fields[key];
  if (isPair(text)) return text;
  if (typeof text !== "string") {
    const keys = Object.keys(fields).join(", ") || "none";
    throw new DgateError(
      "FORMAT",
      `${place} has ${key === undefined ? `no text (its keys: ${keys})` : `no text under "${key}"`}; expected {"text": …}, or name the key with --text-column.`,
    );
  }
  const pairKey = pairColumn ?? usual.pair.find((name) => name in fields);
  const pair = pairKey === undefined ? undefined : fields[pairKey];
  if (pair === undefined) return text;
  if (typeof pair === "string") return [text, pair];
  throw new DgateError("FORMAT", `${place}: the second text, "${pairKey}", is no text.`);
}

function labelOf(
  fields: Readonly<Record<string, unknown>>,
  place: string,
  { labelColumn = usual.label[0] }: Columns,
): number | string | undefined {
  const label = fields[labelColumn];
  if (label === undefined || label === null || label === "") return undefined;
  if (typeof label === "number" || typeof label === "string") return label;
  throw new DgateError(
    "FORMAT",
    `${place}: the label ${JSON.stringify(label)} is neither the number of a class nor its name.`,
  );
}
