import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
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
import { withTables } from "./readme-tables.ts";
import { plotName, plotNames, type Reported } from "./reported.ts";

export interface ReportPaths {
  /** Folder of the runs. */
  readonly results: string;
  /** Whether quick runs are reported, or whole sweeps. */
  readonly quick: boolean;
  readonly backend: string;
  /** Folder that `results.md` is written to, its plots to `results` beside it. */
  readonly docs: string;
  readonly page: string;
  /** Markdown files with places for tables. */
  readonly readmes?: readonly string[];
}

/** What was written, and what was not. */
interface WrittenReport {
  readonly page: string;
  readonly markdown: string;
  readonly readmes: readonly string[];
  /** Experiments of which runs are missing. */
  readonly incomplete: readonly string[];
}

/**
 * Writes the page, the Markdown, and the tables in READMEs, of all whole sweeps that are there.
 *
 * @throws DgateError `DATA` if there are none, or none of a table that a README asks for; as `readRecords`
 */
export async function writeReport({
  docs,
  page,
  readmes = [],
  ...source
}: ReportPaths): Promise<WrittenReport> {
  const { reported, incomplete } = await collectReported(source);
  if (reported.length === 0) {
    throw new DgateError(
      "DATA",
      `report: there are no ${source.quick ? "quick runs" : "whole sweeps"} of ${source.backend} in ${source.results}; make them with the same options by npm run experiments -- run NAME.`,
    );
  }
  const texts = await Promise.all(
    readmes.map(async (path) => withTables(await readFile(path, "utf8"), reported, path)),
  );
  await mkdir(dirname(page), { recursive: true });
  await writeFile(page, reportPage(reported));
  const plots = join(docs, "results");
  await mkdir(plots, { recursive: true });
  // Plots that are no longer drawn, and no other file: runs may lie in this folder.
  for (const name of await readdir(plots)) if (plotNames.test(name)) await rm(join(plots, name));
  for (const { experiment, conclusion } of reported) {
    for (const [i, chart] of conclusion.charts.entries())
      await writeFile(join(plots, plotName(experiment, i)), plotFile(chart));
  }
  const markdown = join(docs, "results.md");
  await writeFile(markdown, markdownReport(reported));
  for (const [i, path] of readmes.entries()) await writeFile(path, texts[i]!);
  return { page, markdown, readmes, incomplete };
}

/** What the runs that are there say, of every experiment that has all runs of a seed. */
export async function collectReported(
  source: Pick<ReportPaths, "results" | "quick" | "backend">,
): Promise<{ readonly reported: readonly Reported[]; readonly incomplete: readonly string[] }> {
  const reported: Reported[] = [];
  const incomplete: string[] = [];
  for (const experiment of experiments) {
    const { records, whole } = await recordsOf(experiment, source);
    if (!whole) incomplete.push(experiment.name);
    if (records.length > 0) reported.push({ experiment, records, conclusion: experiment.conclude(records) });
  }
  return { reported, incomplete };
}

/**
 * Runs that the experiment, as it is now, would make: not those of an older version, of another backend or size. Of a seed all or none: means over
 * unlike runs say nothing.
 */
async function recordsOf(
  experiment: Experiment,
  { results, quick, backend }: Pick<ReportPaths, "results" | "quick" | "backend">,
): Promise<{ readonly records: readonly RunRecord[]; readonly whole: boolean }> {
  const found = await readRecords(join(results, `${experiment.name}.jsonl`));
  const seeds = [...new Set([...found.values()].map(({ setup }) => setup.seed))].toSorted((a, b) => a - b);
  const records = seeds.flatMap((seed) => {
    const own = experiment
      .setups({ quick, seeds: [seed] })
      .map((setup) => found.get(runHash(experiment, setup, backend)));
    return own.every((record) => record !== undefined) ? own : [];
  });
  return {
    records,
    whole: new Set(records.map(({ setup }) => setup.seed)).size >= (quick ? 1 : experiment.seeds),
  };
}

/** A plot as a file of its own, in colours that can be read on light and dark paper: it cannot see those of a page. */
function plotFile(chart: LineChart): string {
  const svg = drawLineChart(chart, ["wide"]).replace(/^<div[^>]*>|<\/div>$/g, "");
  // The drawing library numbers its classes and clips over all plots of a process: the same plot would be another file each time.
  const names = new Map<string, string>();
  const nameOf = (name: string): string => {
    if (!names.has(name)) names.set(name, `n${names.size}`);
    return names.get(name)!;
  };
  return svg
    .replace(/zr\d+-[\w-]+/g, nameOf)
    .replaceAll("var(--text)", "#7d8590")
    .replaceAll("var(--faint)", "#7d8590")
    .replaceAll("var(--line)", "#7d8590");
}
