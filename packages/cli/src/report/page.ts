import type { ComparisonDocument, TrainDocument } from "../train/document.ts";
import {
  accuracyChart,
  activeChart,
  gapChart,
  latencyChart,
  nameOf,
  normsChart,
  sizeChart,
} from "./charts.ts";
import { escapeHtml } from "./escape.ts";
import { pixelsPicture } from "./pixels.ts";
import { type Chart, drawChart } from "./svg.ts";
import { style } from "./style.ts";

/**
 * The report of one or more trainings as one self-contained page: no script, no request, plots as SVG drawn here, light and dark,
 * readable from 360 pixels up.
 *
 * @param runs trainings of the same data and architecture
 * @param dense the baseline, where it was trained apart
 * @param note a sentence under the table
 */
export function reportPage({
  runs,
  dense,
  note = "",
}: Partial<Pick<ComparisonDocument, "dense">> &
  Pick<ComparisonDocument, "runs"> & { readonly note?: string }): string {
  const title = `D-Gate: ${runs[0]!.settings.arch} on ${runs[0]!.settings.data}`;
  const gated = runs.filter((run) => run.settings.method === "dgate");
  const latency = latencyChart(runs);
  const sections = [
    figures([activeChart(runs), accuracyChart(runs, dense)]),
    figures(runs.map(normsChart), runs.length > 2),
    figures(gated.map(gapChart), runs.length > 2),
    figures([sizeChart(runs, dense), ...(latency ? [latency] : [])]),
    inputsSection(runs),
    settingsSection(runs[0]!),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${summary(runs, dense)}
${note ? `<p>${escapeHtml(note)}</p>` : ""}
${sections.join("\n")}
</main>
</body>
</html>
`;
}

/** Plots side by side, two or three in a row of a wide screen. */
function figures(charts: readonly Chart[], three = false): string {
  if (charts.length === 0) return "";
  const drawn = charts.map((chart) => figure(chart, drawChart(chart, three ? ["narrow"] : undefined)));
  return `<div class="figures${three ? " three" : ""}">${drawn.join("")}</div>`;
}

function figure({ title, caption }: Pick<Chart, "title" | "caption">, content: string): string {
  const label = escapeHtml(title);
  return `<figure role="group" aria-label="${label}"><h2>${label}</h2>${content}<figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}

function summary(runs: readonly TrainDocument[], dense: TrainDocument | undefined): string {
  const first = runs[0]!;
  const baseline = dense?.accuracy.dense ?? first.accuracy.dense;
  const rows = runs.map((run) => [
    nameOf(run),
    percent(run.accuracy.gated),
    percent(run.accuracy.pruned),
    `${run.groups.active} of ${run.groups.total}`,
    count(run.parameters),
    count(run.macs),
    `${(run.after.bytes / 1000).toFixed(0)} kB`,
    run.latency ? milliseconds(run.latency.pruned.medianMs) : "–",
    run.latency ? `${run.latency.speedup.toFixed(1)}×` : "–",
    run.maxAbsDiff === null ? "–" : run.maxAbsDiff.toExponential(0),
  ]);
  const { before } = first;
  rows.unshift([
    "dense",
    "–",
    percent(baseline),
    "all",
    count(before.parameters),
    count(before.macs),
    `${(before.bytes / 1000).toFixed(0)} kB`,
    first.latency ? milliseconds(first.latency.dense.medianMs) : "–",
    "1×",
    "–",
  ]);
  const metric = first.metric === "r2" ? "R²" : "accuracy";
  const header = [
    "",
    `gated ${metric}`,
    `pruned ${metric}`,
    "groups",
    "parameters",
    "MACs",
    "ONNX",
    "latency",
    "faster",
    "max |Δ|",
  ];
  return `<div class="scroll"><table>${row("th", header)}${rows.map((cells) => row("td", cells)).join("")}</table></div>`;
}

const row = (tag: "td" | "th", cells: readonly string[]): string =>
  `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;

const percent = (value: number | null): string => (value === null ? "–" : `${(100 * value).toFixed(2)} %`);

const milliseconds = (value: number): string => `${value.toPrecision(3)} ms`;

const count = (value: number): string => value.toLocaleString("en");

function inputsSection(runs: readonly TrainDocument[]): string {
  const parts = runs.flatMap((run) => {
    if (!run.inputs) return [];
    const { kept, total, names, image } = run.inputs;
    const title = `Inputs kept, ${nameOf(run)}`;
    const caption =
      `${kept.length} of ${total} inputs are kept; ` +
      (image
        ? "the stronger the tone, the larger ‖w_j‖ of the pixel. The pruned model never reads the faint ones."
        : "the pruned model never reads the others.");
    const list = names ? `<p>${escapeHtml(names.join(", "))}</p>` : "";
    return [figure({ title, caption }, `${image ? pixelsPicture(run) : ""}${list}`)];
  });
  return parts.length > 0 ? `<div class="figures three">${parts.join("")}</div>` : "";
}

function settingsSection({ settings, backend }: TrainDocument): string {
  const {
    optimizer,
    momentum,
    lr,
    batch,
    epochs,
    warmup,
    initialisation,
    threshold,
    seed,
    lambda,
    lambdaSchedule,
    sites,
    trainSize,
    testSize,
  } = settings;
  const text =
    `${trainSize} examples to train on, ${testSize} to test; ${epochs === 1 ? "1 epoch" : `${epochs} epochs`} of batch ${batch}, ` +
    `${optimizer}${optimizer === "sgd" ? ` with momentum ${momentum}` : ""}, rate ${lr} held for 70 % of the steps, then cosine to 0, warm-up ${warmup} epochs; ` +
    `λ = ${Number(lambda.toPrecision(3))}${lambdaSchedule === "constant" ? "" : ", up from 0 over the first 30 % of the steps and down to 0 over the last 30 %"}, sites: ${sites.join(", ")}; factors start ${initialisation}; a group is dead at ${threshold} of its site's largest norm; seed ${seed}; ` +
    `tfjs backend ${backend}. No fine-tuning after pruning.`;
  return `<section><h2>How it was trained</h2><p>${escapeHtml(text)}</p></section>`;
}
