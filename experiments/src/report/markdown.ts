import type { ResultTable } from "../experiment.ts";
import { plotName, provenanceOf, type Reported } from "./reported.ts";

/** The results as Markdown: written by `pnpm experiments report`, never by hand. */
export function markdownReport(reported: readonly Reported[]): string {
  const parts = reported.map(({ experiment, conclusion, records }) => {
    const { name, title, claim } = experiment;
    const verdicts = conclusion.verdicts.map(
      ({ holds, claim: own, figure }) => `- ${holds ? "Holds" : "**Does not hold**"}: ${own}: ${figure}.`,
    );
    const plots = conclusion.charts.map(
      (chart, i) => `![${chart.title}](results/${plotName(experiment, i)})\n\n*${chart.caption}*`,
    );
    return [
      `## ${title}`,
      claim,
      verdicts.join("\n"),
      ...conclusion.tables.map(tableOf),
      ...plots,
      `\`pnpm experiments run ${name}\`: ${provenanceOf(records)}.`,
    ].join("\n\n");
  });
  return [
    "<!-- Written by `pnpm experiments report` from experiments/results. -->",
    "# Results",
    "The claims of Kolb, Frost, Bischl and Rügamer, *Differentiable Sparsity via D-Gating* (arXiv 2509.23898), run with the packages of this repository. " +
      "Figures are means ± standard deviations over seeds.",
    ...parts,
    "",
  ].join("\n\n");
}

/** A table with its title above. */
export function tableOf({ title, header, rows }: ResultTable): string {
  const lines = [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return `${title}:\n\n${lines.join("\n")}`;
}
