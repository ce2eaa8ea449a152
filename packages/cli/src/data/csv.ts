import { DgateError } from "@dgate/core";
import { CsvError, parse } from "csv-parse/sync";

/** A table of numbers and one target column. */
export interface Table {
  /** Names of the feature columns, in the file's order. */
  readonly columns: readonly string[];
  readonly rows: number;
  /** `[rows, columns]`, row-major. */
  readonly x: Float64Array;
  readonly target: TableTarget;
}

type TableTarget =
  | { readonly kind: "classification"; readonly classNames: readonly string[]; readonly values: Float64Array }
  | { readonly kind: "regression"; readonly values: Float64Array };

export interface CsvOptions {
  /** Column to predict: a name of the header, or a number counted from 1. */
  readonly target: string;
  /** The file's name, for messages. */
  readonly name?: string;
}

const MOST_CLASSES = 20;
const DELIMITERS = [",", ";", "\t"];

/**
 * Reads a table: fields parted by comma, semicolon or tab (whichever the first line has most of), quotes as in RFC 4180, a
 * header unless the first line is all numbers. A target of words, or of at most 20 different whole numbers, gives classes;
 * other numbers give a regression.
 *
 * @throws DgateError `FORMAT` for a truncated or ragged file (with the line), `DATA` for a cell that is not a finite number
 *   (with row and column), `NO_MATCH` for an unknown target column
 */
export function parseCsv(text: string, { target, name = "table" }: CsvOptions): Table {
  const records = parseRecords(text, name);
  const first = records[0];
  if (!first || first.length < 2) {
    throw new DgateError(
      "FORMAT",
      `${name}: has ${records.length} lines of ${first?.length ?? 0} columns; expected at least two columns.`,
    );
  }
  const headless = first.every(isNumeric);
  const header = headless ? first.map((_, i) => `column${i + 1}`) : first.map((field) => field.trim());
  const body = headless ? records : records.slice(1);
  if (body.length < 10) {
    throw new DgateError("FORMAT", `${name}: has ${body.length} rows; training needs at least 10.`);
  }
  const column = targetColumn(header, target, name);
  const columns = header.filter((_, i) => i !== column);
  const x = new Float64Array(body.length * columns.length);
  let at = 0;
  for (const [i, row] of body.entries()) {
    for (const [j, field] of row.entries()) {
      if (j !== column) x[at++] = finiteNumber(field, { name, row: i + 1, column: header[j]! });
    }
  }
  return {
    columns,
    rows: body.length,
    x,
    target: readTarget(
      body.map((row) => row[column]!.trim()),
      name,
      header[column]!,
    ),
  };
}

function parseRecords(text: string, name: string): string[][] {
  try {
    return parse(text, {
      delimiter: detectDelimiter(text),
      record_delimiter: ["\r\n", "\n"],
      bom: true,
      skip_empty_lines: true,
      relax_quotes: false,
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new DgateError("FORMAT", `${name}: ${error.message}; is the file truncated?`, { cause: error });
  }
}

/** Comma, semicolon or tab: whichever the first line has most of outside quotes. */
export function detectDelimiter(text: string): string {
  const firstLine = (text.split(/\r?\n/, 1)[0] ?? "").replace(/"[^"]*"/g, "");
  const counts = DELIMITERS.map((delimiter) => firstLine.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))]!;
}

const isNumeric = (field: string): boolean => field.trim() !== "" && Number.isFinite(Number(field));

function finiteNumber(
  field: string,
  { name, row, column }: { readonly name: string; readonly row: number; readonly column: string },
): number {
  if (isNumeric(field)) return Number(field);
  throw new DgateError(
    "DATA",
    `${name}: row ${row}, column "${column}": "${field}" is not a finite number; fill it in or drop the row.`,
  );
}

function targetColumn(header: readonly string[], target: string, name: string): number {
  const byName = header.indexOf(target);
  if (byName >= 0) return byName;
  const number = Number(target);
  if (Number.isInteger(number) && number >= 1 && number <= header.length) return number - 1;
  const known = header.length > 12 ? `${header.slice(0, 12).join(", ")}, …` : header.join(", ");
  throw new DgateError(
    "NO_MATCH",
    `${name}: has no column "${target}"; give --target one of: ${known} (or a number from 1 to ${header.length}).`,
  );
}

function readTarget(fields: readonly string[], name: string, column: string): TableTarget {
  const distinct = [...new Set(fields)];
  const numeric = fields.every(isNumeric);
  const whole = numeric && distinct.every((field) => Number.isInteger(Number(field)));
  if (numeric && !(whole && distinct.length <= MOST_CLASSES)) {
    return { kind: "regression", values: Float64Array.from(fields, Number) };
  }
  const mostlyNumbers = fields.filter(isNumeric).length > fields.length / 2;
  const bad = fields.findIndex((field) => /^(nan)?$/i.test(field) || (mostlyNumbers && !isNumeric(field)));
  if (bad >= 0) {
    throw new DgateError(
      "DATA",
      `${name}: row ${bad + 1}, column "${column}": the target is "${fields[bad]}"; fill it in or drop the row.`,
    );
  }
  const classNames = distinct.sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : 1));
  if (classNames.length < 2 || (!numeric && classNames.length > fields.length / 2)) {
    throw new DgateError(
      "DATA",
      `${name}: column "${column}" has ${classNames.length} different values in ${fields.length} rows; that is no class to learn, nor a number.`,
    );
  }
  const numberOf = new Map(classNames.map((value, i) => [value, i]));
  return {
    kind: "classification",
    classNames,
    values: Float64Array.from(fields, (field) => numberOf.get(field)!),
  };
}
