import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DgateError } from "@dgate/core";
import { experiments } from "../registry.ts";
import type { Experiment } from "../experiment.ts";
import { readRecords } from "../runner/record-file.ts";
import { runHash } from "../runner/run-hash.ts";
import type { RunRecord } from "../runner/run-record.ts";
import { markdownReport } from "./markdown.ts";
import { drawLineChart } from "./draw-line-chart.ts";
import type { LineChart } from "./line-chart.ts";
import { reportPage } from "./page.ts";
import { plotName, type Reported } from "./reported.ts";

export interface ReportPaths {
  /** Folder of the runs. */
  readonly results: string;
  /** Whether quick runs are reported, or whole sweeps. */
  readonly quick: boolean;
  readonly backend: string;
  /** Folder that `results.md` is written to, its plots to `results` beside it. */
  readonly docs: string;
  readonly page: string;
}

/**
 * Writes the page and the Markdown of all runs that are there.
 *
 * @throws DgateError `DATA` if there are none; as `readRecords`
 */
export async function writeReport({
  docs,
  page,
  ...source
}: ReportPaths): Promise<{ readonly page: string; readonly markdown: string }> {
  const reported: Reported[] = [];
  for (const experiment of experiments) {
    const records = await recordsOf(experiment, source);
    if (records.length > 0) reported.push({ experiment, records, conclusion: experiment.conclude(records) });
  }
  if (reported.length === 0) {
    throw new DgateError(
      "DATA",
      `report: there are no ${source.quick ? "quick runs" : "whole sweeps"} of ${source.backend} in ${source.results}; run pnpm experiments run theory first.`,
    );
  }
  await mkdir(dirname(page), { recursive: true });
  await writeFile(page, reportPage(reported));
  const plots = join(docs, "results");
  await rm(plots, { recursive: true, force: true });
  await mkdir(plots, { recursive: true });
  for (const { experiment, conclusion } of reported) {
    for (const [i, chart] of conclusion.charts.entries())
      await writeFile(join(plots, plotName(experiment, i)), plotFile(chart));
  }
  const markdown = join(docs, "results.md");
  await writeFile(markdown, markdownReport(reported));
  return { page, markdown };
}

/** Runs that the experiment, as it is now, would make: not those of an older version, of another backend or size. */
async function recordsOf(
  experiment: Experiment,
  { results, quick, backend }: Pick<ReportPaths, "results" | "quick" | "backend">,
): Promise<readonly RunRecord[]> {
  const records = await readRecords(join(results, `${experiment.name}.jsonl`));
  const seeds = [...new Set([...records.values()].map(({ setup }) => setup.seed))].toSorted((a, b) => a - b);
  return experiment
    .setups({ quick, seeds })
    .flatMap((setup) => records.get(runHash(experiment, setup, backend)) ?? []);
}

/** A plot as a file of its own, in colours that can be read on light and dark paper: it cannot see those of a page. */
function plotFile(chart: LineChart): string {
  const svg = drawLineChart(chart, ["wide"]).replace(/^<div[^>]*>|<\/div>$/g, "");
  return svg
    .replaceAll("var(--text)", "#7d8590")
    .replaceAll("var(--faint)", "#7d8590")
    .replaceAll("var(--line)", "#7d8590");
}
