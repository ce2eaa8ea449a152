import { DgateError } from "@dgate/core";
import { CsvError, parse } from "csv-parse/sync";
import { detectDelimiter } from "../data/csv.ts";

/** One record of a text file, with the line that it begins in, from 1. */
interface TextRecord {
  readonly line: number;
  /** A line of text, what a line of JSON says, or the cells of a table by column. */
  readonly value: unknown;
}

/** The records of a file. */
export interface TextRecords {
  readonly records: readonly TextRecord[];
  /** Lines without anything in them. */
  readonly empty: number;
  /** Columns of a table. */
  readonly columns?: readonly string[];
}

/** Readers by the ending of a file's name. */
export const readers: Readonly<Record<string, (text: string, path: string) => TextRecords>> = {
  jsonl: readJsonLines,
  ndjson: readJsonLines,
  tsv: readTabs,
  csv: readCsv,
  txt: readLines,
};

interface Line {
  readonly line: number;
  readonly text: string;
}

/** Lines that hold something, and the number of those that do not; the end of the last line begins no other one. */
function linesOf(text: string): { readonly lines: readonly Line[]; readonly empty: number } {
  const all = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  if (all.at(-1) === "") all.pop();
  const lines = all.flatMap((content, i) => (content.trim() === "" ? [] : [{ line: i + 1, text: content }]));
  return { lines, empty: all.length - lines.length };
}

/** One text a line. */
function readLines(text: string): TextRecords {
  const { lines, empty } = linesOf(text);
  return { records: lines.map(({ line, text: value }) => ({ line, value })), empty };
}

/**
 * One JSON value a line.
 * @throws DgateError `FORMAT` with the line
 */
function readJsonLines(text: string, path: string): TextRecords {
  const { lines, empty } = linesOf(text);
  const records = lines.map(({ line, text: json }): TextRecord => {
    try {
      return { line, value: JSON.parse(json) as unknown };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new DgateError(
        "FORMAT",
        `${path}: line ${line} is no JSON (${reason}); write one value a line, {"text": …, "label": …} say.`,
        { cause },
      );
    }
  });
  return { records, empty };
}

/**
 * A table parted by tabs, without quoting, as GLUE's: a quote is a character of the text.
 * @throws DgateError `FORMAT` with the line of a row of another width
 */
function readTabs(text: string, path: string): TextRecords {
  const { lines, empty } = linesOf(text);
  const [header, ...body] = lines;
  const columns = header?.text.split("\t").map((name) => name.trim()) ?? [];
  const records = body.map(({ line, text: row }): TextRecord => {
    const cells = row.split("\t");
    if (cells.length !== columns.length) {
      throw new DgateError(
        "FORMAT",
        `${path}: line ${line} has ${cells.length} columns, the header ${columns.length} (${columns.join(", ")}); is the file truncated, or has a text a tab?`,
      );
    }
    return { line, value: byColumn(columns, cells) };
  });
  return { records, empty, columns };
}

/**
 * A table with quotes as in RFC 4180, parted by what its header has most of.
 * @throws DgateError `FORMAT` with the line
 */
function readCsv(text: string, path: string): TextRecords {
  let rows: {
    readonly record: string[];
    readonly info: { readonly lines: number; readonly empty_lines: number };
  }[];
  try {
    rows = parse(text, {
      delimiter: detectDelimiter(text),
      record_delimiter: ["\r\n", "\n"],
      bom: true,
      skip_empty_lines: true,
      info: true,
    }) as unknown as typeof rows; // with `info` a row comes with where it ends, which the types do not know
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new DgateError("FORMAT", `${path}: ${error.message}; is the file truncated?`, { cause: error });
  }
  const columns = rows[0]?.record.map((name) => name.trim()) ?? [];
  const records = rows.slice(1).map(({ record, info }): TextRecord => {
    return { line: info.lines, value: byColumn(columns, record) };
  });
  return { records, empty: rows.at(-1)?.info.empty_lines ?? 0, columns };
}

const byColumn = (columns: readonly string[], cells: readonly string[]): Record<string, string> =>
  Object.fromEntries(columns.map((name, i) => [name, cells[i]!.trim()]));
