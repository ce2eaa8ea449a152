/**
 * A plain-text table: first column to the left, the others to the right, two spaces between, no trailing spaces.
 *
 * @param header column names, underlined with dashes
 * @param rows cells; numbers are printed as they are, missing cells empty
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const cells = [header, ...rows].map((row) => row.map(String));
  const columns = Math.max(...cells.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, k) =>
    Math.max(...cells.map((row) => (row[k] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    widths
      .map((width, k) => (k === 0 ? (row[k] ?? "").padEnd(width) : (row[k] ?? "").padStart(width)))
      .join("  ")
      .trimEnd();
  const [head = [], ...body] = cells;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}
