/** A table of a Markdown file. */
export interface MarkdownTable {
  /** The paragraph before it. */
  readonly caption: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The tables between `<!-- results NAME N -->` and `<!-- end of results -->`, as `npm run experiments -- report` writes them. */
export function resultTables(markdown: string): ReadonlyMap<string, MarkdownTable> {
  const blocks = markdown.matchAll(/<!-- results (\S+ \d+) -->\n([\s\S]*?)<!-- end of results -->/g);
  return new Map([...blocks].map(([, name, block]) => [name!, tableOf(block!)]));
}

function tableOf(block: string): MarkdownTable {
  const lines = block.split("\n").filter((line) => line.trim() !== "");
  const [header, , ...rows] = lines.filter((line) => line.startsWith("|")).map(cellsOf);
  return { caption: lines.find((line) => !line.startsWith("|")) ?? "", header: header ?? [], rows };
}

const cellsOf = (line: string): readonly string[] =>
  line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
