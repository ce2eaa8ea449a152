import { axis, drawChart, frame, widths } from "@dgate/cli/report";
import type { LineChart } from "./line-chart.ts";

/** Distinct for colour-blind readers on light and dark paper. */
const colours = [
  "#8b949e",
  "#e3742f",
  "#2f81f7",
  "#12a594",
  "#a855f7",
  "#b38600",
  "#d1495b",
  "#5b8c00",
  "#c45ab3",
  "#0091a8",
] as const;

/** A plot as SVG in HTML, for wide and narrow screens or for one of them. */
export function drawLineChart(
  chart: LineChart,
  names: readonly (keyof typeof widths)[] = ["wide", "narrow"],
): string {
  return names
    .map((name) => {
      const width = widths[name] - legendMargin;
      const legend = legendRows(chart, width) * legendRow;
      const option = {
        ...optionOf(chart),
        legend: { ...frame.legend, itemGap: legendGap, itemWidth: legendLine, width },
        grid: { ...frame.grid, top: 20 + legend },
      };
      return drawChart({ ...chart, option, height: 280 + legend }, [name]);
    })
    .join("");
}

/** The gap is between rows, too. Lines are so long that dashes show. */
const [legendGap, legendRow, legendLine] = [22, 35, 34];

/** For the last name of a row, in a font wider than the library thinks. */
const legendMargin = 40;

/** Rows that the legend takes: the library breaks them, but does not move the plot. It takes letters of 12 pixels to be some 6 wide; where they are wider the gap has room for it. */
function legendRows({ series }: LineChart, width: number): number {
  let [rows, used] = [1, 0];
  for (const name of new Set(series.map((each) => each.name))) {
    const own = legendLine + 5 + legendGap + 6 * name.length;
    if (used > 0 && used + own > width) [rows, used] = [rows + 1, 0];
    used += own;
  }
  return rows;
}

function optionOf({ x, y, series }: LineChart): Parameters<typeof drawChart>[0]["option"] {
  return {
    xAxis: axis(x.name, {
      type: x.log ? "log" : "value",
      nameGap: 26,
      min: x.min ?? "dataMin",
      max: x.max ?? "dataMax",
    }),
    yAxis: axis(y.name, {
      type: y.log ? "log" : "value",
      nameGap: 44,
      ...(y.log ? decades(series) : { scale: true }),
      ...(y.min !== undefined && { min: y.min }),
      ...(y.max !== undefined && { max: y.max }),
    }),
    series: series.map(({ name, colour, dashed = false, thin = false, dots = false, points }) => ({
      type: "line" as const,
      name,
      symbol: !dots ? "none" : dashed ? "emptyCircle" : "circle",
      symbolSize: 5,
      // What a logarithmic axis cannot show is left out.
      data: points.filter(([a, b]) => (!x.log || a > 0) && (!y.log || b > 0)).map((point) => [...point]),
      lineStyle: {
        width: dots === "only" ? 0 : thin ? 0.7 : 1.5,
        color: colours[colour]!,
        type: dashed ? ("dashed" as const) : ("solid" as const),
      },
      itemStyle: { color: colours[colour]! },
    })),
  };
}

/** The powers of ten around all values: left alone, the library takes up to twenty more on each side. */
function decades(series: LineChart["series"]): { readonly min: number; readonly max: number } {
  const values = series.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y > 0);
  const [low, high] = [Math.min(...values), Math.max(...values)].map(Math.log10);
  return { min: 10 ** Math.floor(low!), max: 10 ** Math.ceil(high!) };
}
