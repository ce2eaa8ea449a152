import type { EpochRecord, TrainDocument } from "../train/document.ts";
import { axis, type Chart, frame, ink } from "./svg.ts";

type Series = Record<string, unknown>;

/** Colours by depth, distinct for colour-blind readers on light and dark paper. */
const depthColours: Readonly<Record<number, string>> = {
  1: "#a855f7",
  2: "#2f81f7",
  3: "#e3742f",
  4: "#12a594",
};
const DENSE = "#8b949e";
const DEAD = "#d1495b";
const LARGEST = "#b38600";
/** At most so many lines per plot of group norms. */
const MOST_LINES = 120;

const colourOf = (run: TrainDocument): string =>
  run.settings.method === "direct" ? depthColours[1]! : (depthColours[run.settings.depth] ?? "#c026d3");

/** `D = 3`, or what else the run is. */
export function nameOf(run: TrainDocument): string {
  if (run.settings.method === "direct") return "direct L2,1";
  return run.settings.method === "dense" ? "dense" : `D = ${run.settings.depth}`;
}

const line = (name: string, data: readonly (readonly [number, number])[], rest: Series = {}): Series => ({
  type: "line",
  name,
  data,
  symbol: "none",
  ...rest,
});

const epochAxis = axis("epoch", { type: "value", nameGap: 26, minInterval: 1, min: 0, max: "dataMax" });

/** Norms of the groups of one run over the epochs, each relative to the largest of its site, dead ones apart. */
export function normsChart(run: TrainDocument): Chart {
  const lines = run.sites.flatMap(({ site, norms, threshold }) => {
    const position = run.history[0]!.sites.findIndex((record) => record.site === site);
    return norms.map((norm, group) => ({
      dead: norm <= threshold,
      last: norm / Math.max(...norms),
      points: run.history.map((record) => [record.epoch, relativeNorm(record, position, group)] as const),
    }));
  });
  const shown = spread(
    lines.toSorted((a, b) => a.last - b.last),
    MOST_LINES,
  );
  const relative = run.settings.threshold;
  const dead = lines.filter((entry) => entry.dead).length;
  const series = shown.map((entry) =>
    line(entry.dead ? "dead" : "kept", entry.points, {
      lineStyle: { width: 1, opacity: 0.55, color: entry.dead ? DEAD : colourOf(run) },
      itemStyle: { color: entry.dead ? DEAD : colourOf(run) },
    }),
  );
  return {
    title: `Group norms, ${nameOf(run)}`,
    caption:
      `‖w_j‖ over the largest of its site: ${dead} of ${lines.length} groups fall under ${relative} (dashed) and are removed.` +
      (lines.length > MOST_LINES ? ` ${MOST_LINES} of them are drawn, evenly by rank.` : ""),
    option: {
      ...frame,
      xAxis: epochAxis,
      yAxis: axis("‖w_j‖ / largest", {
        type: "log",
        nameGap: 44,
        min: floorOf(shown.map(({ last }) => last)),
        max: 1,
      }),
      series: [...series, line("threshold", lastEpochLine(run, relative), dashed(ink.text))],
    },
  };
}

/** The power of ten under the smallest value, from 10⁻³ down to 10⁻⁶. */
function floorOf(values: readonly number[]): number {
  const exponent = Math.floor(Math.log10(Math.max(1e-6, Math.min(...values))));
  return 10 ** Math.min(-3, Math.max(-6, exponent));
}

const relativeNorm = (record: EpochRecord, site: number, group: number): number => {
  const { norms } = record.sites[site]!;
  return Math.max(norms[group]! / Math.max(...norms), 1e-6);
};

const lastEpochLine = (run: TrainDocument, y: number): [number, number][] => [
  [0, y],
  [run.history.at(-1)!.epoch, y],
];

const dashed = (colour: string): Series => ({
  lineStyle: { width: 1.5, type: "dashed", color: colour },
  itemStyle: { color: colour },
});

/** `count` of the entries, evenly spaced. */
function spread<T>(entries: readonly T[], count: number): readonly T[] {
  if (entries.length <= count) return entries;
  return Array.from(
    { length: count },
    (_, i) => entries[Math.round((i * (entries.length - 1)) / (count - 1))]!,
  );
}

const activeGroups = (record: EpochRecord): number =>
  record.sites.reduce((sum, site) => sum + site.active, 0);

/** Active groups per epoch, all runs. */
export function activeChart(runs: readonly TrainDocument[]): Chart {
  return {
    title: "Active groups",
    caption: `Groups above the threshold after each epoch, of ${runs[0]!.groups.total}.`,
    option: {
      ...frame,
      xAxis: epochAxis,
      yAxis: axis("active groups", { type: "value", nameGap: 44, min: 0 }),
      series: runs.map((run) => runLine(run, activeGroups)),
    },
  };
}

/** Accuracy per epoch, all runs and the dense network. */
export function accuracyChart(runs: readonly TrainDocument[], dense?: TrainDocument): Chart {
  const all = dense ? [dense, ...runs] : runs;
  const values = all.flatMap((run) => run.history.slice(1).map((record) => record.accuracy));
  const floor = Math.max(0, Math.floor(10 * (2 * median(values) - 1 - 0.05)) / 10);
  return {
    title: runs[0]!.metric === "r2" ? "R² on the test rows" : "Test accuracy",
    caption:
      "Of the whole gated network after each epoch; every run has the same steps, optimiser and schedule.",
    option: {
      ...frame,
      xAxis: epochAxis,
      yAxis: axis(runs[0]!.metric === "r2" ? "R²" : "accuracy", {
        type: "value",
        nameGap: 44,
        min: floor,
        max: 1,
      }),
      series: all.map((run) => runLine(run, (record) => record.accuracy)),
    },
  };
}

const runLine = (run: TrainDocument, value: (record: EpochRecord) => number): Series => {
  const colour = run.settings.method === "dense" ? DENSE : colourOf(run);
  return line(
    nameOf(run),
    run.history.map((record) => [record.epoch, value(record)] as const),
    { lineStyle: { width: 2, color: colour }, itemStyle: { color: colour } },
  );
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

type Points = readonly (readonly [number, number])[];

/** Without what a logarithmic axis cannot show. */
const positive = (points: Points): Points => points.filter(([, value]) => value > 1e-12);

const strong = (colour: string): Series => ({
  lineStyle: { width: 2, color: colour },
  itemStyle: { color: colour },
});

/** Gap and imbalance of one run beside the law of gradient flow, exp(−4∫λdt/D). */
export function gapChart(run: TrainDocument): Chart {
  const over = (value: (sites: EpochRecord["sites"]) => number): Points =>
    run.history.map(({ time, sites }) => [time, value(sites)] as const);
  const largest = over((sites) => Math.max(...sites.map((site) => site.imbalance)));
  const medians = over((sites) => Math.max(...sites.map((site) => site.medianImbalance)));
  const gap = over((sites) => sites.reduce((sum, site) => sum + site.gap, 0));
  const first = Math.max(
    0,
    medians.findIndex(([, value]) => value > 0),
  );
  const start = { value: medians[first]?.[1] || 1, lambdaTime: run.history[first]?.lambdaTime ?? 0 };
  const theory = run.history.map(({ time, lambdaTime }) => {
    const decay = Math.exp((-4 * (lambdaTime - start.lambdaTime)) / run.settings.depth);
    return [time, start.value * decay] as const;
  });
  return {
    title: `Gap and imbalance, ${nameOf(run)}`,
    caption:
      "|‖ω‖² − γ²|, median and largest of the groups, and the gap between smooth and sparse penalty, against t = Σ rate / (1 − momentum). " +
      "Under gradient flow the imbalance decays as exp(−4∫λdt/D), dashed. The largest is that of groups in use, which the noise of the steps keeps out of balance.",
    option: {
      ...frame,
      xAxis: axis("t", { type: "value", nameGap: 26, min: 0, max: "dataMax" }),
      yAxis: axis("", { type: "log" }),
      series: [
        line("median", positive(medians), strong(colourOf(run))),
        line("exp(−4∫λdt/D)", positive(theory), dashed(ink.text)),
        line("largest", positive(largest), strong(LARGEST)),
        line("gap", positive(gap), strong(DENSE)),
      ],
    },
  };
}

const labelled = (name: string, colour: string, parameters: number, accuracy: number): Series => ({
  type: "scatter",
  name,
  data: [[parameters / 1000, 100 * accuracy]],
  symbolSize: 14,
  itemStyle: { color: colour },
  label: { show: true, position: "bottom", formatter: name, color: ink.text, fontSize: 11 },
});

/** Accuracy of the written models against their size. */
export function sizeChart(runs: readonly TrainDocument[], dense?: TrainDocument): Chart {
  const points = runs
    .filter((run) => run.accuracy.pruned !== null)
    .map((run) => labelled(nameOf(run), colourOf(run), run.parameters, run.accuracy.pruned!));
  const baseline = dense?.accuracy.dense ?? runs[0]!.accuracy.dense;
  if (baseline !== null) points.push(labelled("dense", DENSE, runs[0]!.before.parameters, baseline));
  return {
    title: "Accuracy against size",
    caption:
      "Pruned ONNX files run in onnxruntime-web on the test set, without fine-tuning, beside the dense network.",
    option: {
      grid: { left: 58, right: 36, top: 24, bottom: 44 },
      xAxis: axis("parameters, thousands", { type: "log", nameGap: 26 }),
      yAxis: axis(runs[0]!.metric === "r2" ? "R², %" : "accuracy, %", {
        type: "value",
        nameGap: 40,
        scale: true,
        boundaryGap: ["20%", "10%"],
      }),
      series: points,
    },
  };
}

const namedBar = (name: string, medianMs: number, colour: string) => ({
  name,
  value: medianMs,
  itemStyle: { color: colour },
});

/** Median latency of dense and pruned models. */
export function latencyChart(runs: readonly TrainDocument[]): Chart | undefined {
  const measured = runs.filter((run) => run.latency !== null);
  if (measured.length === 0) return undefined;
  // Measured in one go, the dense network stands there once; measured run by run, beside each.
  const once = new Set(measured.map((run) => run.latency!.dense.medianMs)).size === 1;
  const bars = measured.flatMap((run, i) => {
    const { dense, pruned, speedup } = run.latency!;
    const own = namedBar(`pruned ${nameOf(run)}, ${speedup.toFixed(1)}×`, pruned.medianMs, colourOf(run));
    if (once && i > 0) return [own];
    return [namedBar(once ? "dense" : `dense beside ${nameOf(run)}`, dense.medianMs, DENSE), own];
  });
  return {
    title: "Latency",
    caption: `Median of one run of ${measured[0]!.latency!.batch} rows in onnxruntime-web (WASM, one thread); dense and pruned take turns.`,
    height: 60 + 34 * bars.length,
    option: {
      grid: { left: 8, right: 56, top: 8, bottom: 44 },
      xAxis: axis("milliseconds", { type: "value", nameGap: 26 }),
      yAxis: { type: "category", data: bars.map(({ name }) => name), inverse: true, show: false },
      series: [
        {
          type: "bar",
          barWidth: 14,
          data: bars.map((entry) => ({
            ...entry,
            label: { formatter: entry.value.toPrecision(3) },
          })),
          label: { show: true, position: "right", color: ink.text, fontSize: 11 },
        },
        {
          // Names above the bars: beside them they would take half of a narrow screen.
          type: "bar",
          barGap: "-100%",
          barWidth: 14,
          silent: true,
          itemStyle: { color: "transparent" },
          data: bars.map(({ name, value }) => ({ value, label: { formatter: name } })),
          label: { show: true, position: [2, -13], color: ink.faint, fontSize: 11 },
        },
      ],
    },
  };
}
