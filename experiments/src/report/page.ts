import { escapeHtml, style } from "@dgate/cli/report";
import type { ResultTable } from "../experiment.ts";
import { drawLineChart } from "./draw-line-chart.ts";
import { provenanceOf, type Reported } from "./reported.ts";

/** The results as one self-contained page: no script, no request, light and dark, readable from 360 pixels up. */
export function reportPage(reported: readonly Reported[]): string {
  const contents = reported.map(
    ({ experiment: { name, title }, conclusion }) =>
      `<li><a href="#${name}">${escapeHtml(title)}</a> ${conclusion.verdicts.every(({ holds }) => holds) ? "" : "<strong>does not hold in all</strong>"}</li>`,
  );
  const parts = reported.map(({ experiment, conclusion, records }) => {
    const verdicts = conclusion.verdicts.map(
      ({ holds, claim, figure }) =>
        `<li><strong>${holds ? "holds" : "does not hold"}</strong>: ${escapeHtml(claim)}: ${escapeHtml(figure)}</li>`,
    );
    const charts = conclusion.charts.map(
      (chart) =>
        `<figure><h2>${escapeHtml(chart.title)}</h2>${drawLineChart(chart)}<figcaption>${escapeHtml(chart.caption)}</figcaption></figure>`,
    );
    return `<section id="${experiment.name}"><h2>${escapeHtml(experiment.title)}</h2>
<p>${escapeHtml(experiment.claim)}</p>
<ul>${verdicts.join("")}</ul>
<p>${escapeHtml(provenanceOf(records))}</p></section>
${conclusion.tables.map(tableOf).join("")}
<div class="figures">${charts.join("")}</div>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>D-Gating: results</title>
<style>${style} a { color: inherit; } figure { max-width: 720px; }</style>
</head>
<body><main>
<h1>The claims of D-Gating, run</h1>
<ol>${contents.join("")}</ol>
${parts.join("\n")}
</main></body>
</html>
`;
}

function tableOf({ title, header, rows }: ResultTable): string {
  return `<section><p>${escapeHtml(title)}</p></section>
<div class="scroll"><table><thead>${cells("th", header)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table></div>`;
}

const cells = (tag: string, row: readonly string[]): string =>
  `<tr>${row.map((cell) => `<${tag}>${bold(escapeHtml(cell))}</${tag}>`).join("")}</tr>`;

/** What Markdown marks as bold. */
const bold = (html: string): string => html.replace(/\*\*(.*?)\*\*/g, "<strong>$1</strong>");
