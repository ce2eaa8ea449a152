import { LineChart, ScatterChart, BarChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent } from "echarts/components";
import { init, use } from "echarts/core";
import type { EChartsOption } from "echarts";
import { SVGRenderer } from "echarts/renderers";

use([LineChart, ScatterChart, BarChart, GridComponent, LegendComponent, MarkLineComponent, SVGRenderer]);

/** Colours that follow the page's light or dark theme. */
export const ink = { text: "var(--text)", faint: "var(--faint)", line: "var(--line)" } as const;

/** A plot and what it says. */
export interface Chart {
  readonly title: string;
  readonly caption: string;
  readonly option: EChartsOption;
  readonly height?: number;
}

/** How wide plots are drawn; the page's style sheet scales them a little and chooses the one that fits. */
export const widths = { wide: 560, narrow: 312 } as const;

/** Draws a plot on the server: for wide and narrow screens, or for narrow columns alone. */
export function drawChart(
  { option, height = 300 }: Chart,
  names: readonly (keyof typeof widths)[] = ["wide", "narrow"],
): string {
  return names.map((name) => `<div class="${name}">${drawSvg(option, widths[name], height)}</div>`).join("");
}

function drawSvg(option: EChartsOption, width: number, height: number): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  chart.setOption({ animation: false, textStyle: { color: ink.text, fontFamily: "inherit" }, ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  // A tenth of a pixel is enough, and the page stays small. Letters are left alone.
  return svg.replace(/ (?:d|points|transform|x|y)="[^"]*"/g, (attribute) =>
    attribute.replace(/-?\d+\.\d{2,}/g, (number) => String(Number(Number(number).toFixed(1)))),
  );
}

/** Labels of a logarithmic axis: 0.01, 10⁻⁴, 1.2·10⁴ at its ends. */
function powerLabel(value: number): string {
  if (value >= 0.01 && value <= 1000) return String(Number(value.toPrecision(3)));
  const [digits, exponent] = value.toExponential(1).split("e") as [string, string];
  const power = exponent
    .replace("+", "")
    .replace("-", "⁻")
    .replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹".charAt(Number(digit)));
  return `${digits === "1.0" ? "" : `${digits}·`}10${power}`;
}

/** Labels of another axis: at its ends numbers are as they come. */
const plainLabel = (value: number): string =>
  String(Math.abs(value) < 1000 ? Number(value.toPrecision(5)) : Math.round(value));

/** A y axis and an x axis with the page's colours. */
export function axis(name: string, rest: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name,
    nameLocation: "middle",
    nameTextStyle: { color: ink.faint, fontSize: 12 },
    axisLine: { lineStyle: { color: ink.line } },
    axisLabel: {
      color: ink.faint,
      fontSize: 11,
      hideOverlap: true,
      formatter: rest["type"] === "log" ? powerLabel : plainLabel,
    },
    splitLine: { lineStyle: { color: ink.line, opacity: 0.5 } },
    ...rest,
  };
}

/** Settings that all plots with two axes share. */
export const frame: Readonly<Record<"grid" | "legend", Readonly<Record<string, unknown>>>> = {
  grid: { left: 58, right: 16, top: 40, bottom: 44 },
  legend: { top: 4, itemWidth: 18, itemHeight: 8, textStyle: { color: ink.text, fontSize: 12 } },
};
