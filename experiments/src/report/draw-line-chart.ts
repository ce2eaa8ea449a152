import { axis, drawChart, frame } from "@dgate/cli/report";
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
  { title, caption, x, y, series }: LineChart,
  widths?: readonly ("wide" | "narrow")[],
): string {
  const chart = {
    title,
    caption,
    option: {
      ...frame,
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
        symbol: dots ? "circle" : "none",
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
    },
  };
  return drawChart(chart, widths);
}

/** The powers of ten around all values: left alone, the library takes up to twenty more on each side. */
function decades(series: LineChart["series"]): { readonly min: number; readonly max: number } {
  const values = series.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y > 0);
  const [low, high] = [Math.min(...values), Math.max(...values)].map(Math.log10);
  return { min: 10 ** Math.floor(low!), max: 10 ** Math.ceil(high!) };
}
