/** A table in Markdown: the first column to the left, the others to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return [row(header), row(header.map((_, at) => (at === 0 ? "---" : "---:"))), ...rows.map(row)].join("\n");
}

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** A whole number with commas between thousands. */
export const count = (value: number): string => Math.round(value).toLocaleString("en-US");
