import * as Plot from "@observablehq/plot";
import { Chart } from "../ui/chart.tsx";
import { short } from "../ui/format.ts";
import {
  deadNorm,
  type FlowRecord,
  lassoThreshold,
  longestTime,
  type Point,
  type Pull,
  smoothObjective,
  sparseObjective,
} from "./group-flow.ts";

/** Values between which contours are drawn, closer near the least. */
const levels = (values: readonly number[]): readonly number[] => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return Array.from({ length: 14 }, (_, i) => least + (most - least) * ((i + 1) / 15) ** 2);
};

const cells = 60;

/** A function over a rectangle, as contours want it. */
function sampled([x1, x2]: Point, [y1, y2]: Point, value: (x: number, y: number) => number): number[] {
  return Array.from({ length: cells * cells }, (_, i) =>
    value(
      x1 + ((x2 - x1) * ((i % cells) + 0.5)) / cells,
      y1 + ((y2 - y1) * (Math.floor(i / cells) + 0.5)) / cells,
    ),
  );
}

function contours([x1, x2]: Point, [y1, y2]: Point, value: (x: number, y: number) => number): Plot.Markish {
  const values = sampled([x1, x2], [y1, y2], value);
  return Plot.contour(values, {
    width: cells,
    height: cells,
    x1,
    x2,
    y1,
    y2,
    thresholds: [...levels(values)],
    stroke: "var(--faint)",
    strokeOpacity: 0.55,
  });
}

const plane = (x: string, y: string, horizontal: Point, vertical: Point): Plot.PlotOptions => ({
  // All four: layers without axes would have smaller ones, and not lie on the others.
  marginTop: 20,
  marginRight: 20,
  marginBottom: 38,
  marginLeft: 44,
  x: { label: x, domain: [...horizontal], ticks: 5 },
  y: { label: y, domain: [...vertical], ticks: 5 },
});

interface ViewProps {
  readonly records: readonly FlowRecord[];
  readonly pull: Pull;
}

const weightRange: Point = [-2, 2];

/** The plane of the weights: contours of the sparse objective, and the path of w. */
export function WeightsPlane({ records, pull }: ViewProps) {
  const last = records.at(-1)!;
  const frame = plane("w₁", "w₂", weightRange, weightRange);
  return (
    <figure>
      <h3>The weights and the sparse objective</h3>
      <Chart
        label={`Contours of L₀(w) + λ‖w‖^(2/D) and the path of w, now at ${last.weights.map((x) => x.toFixed(2)).join(", ")}`}
        height={340}
        layers={[
          {
            key: pull,
            options: () => ({
              ...frame,
              marks: [
                contours(weightRange, weightRange, (x, y) => sparseObjective([x, y], pull)),
                Plot.dot([pull.target], { symbol: "times", r: 6, stroke: "var(--ink)", strokeWidth: 2 }),
                Plot.dot([[0, 0]], { r: 5, stroke: "var(--bad)", strokeWidth: 2 }),
              ],
            }),
          },
          {
            key: records,
            options: () => ({
              ...frame,
              x: { ...frame.x, axis: null },
              y: { ...frame.y, axis: null },
              marks: [
                Plot.line(
                  records.map(({ weights }) => weights),
                  { stroke: "var(--accent)", strokeWidth: 2.5 },
                ),
                Plot.dot([last.weights], { r: 6, fill: "var(--accent)" }),
              ],
            }),
          },
        ]}
      />
      <figcaption>
        Contours of L₀(w) + λ‖w‖^(2/D). Cross: where the loss is least. Red ring: a dead group.
      </figcaption>
    </figure>
  );
}

/** A direction, as coarse as the eye is: contours are drawn anew when it turns. */
const coarse = ([x, y]: Point): Point => [Math.round(12 * x) / 12, Math.round(12 * y) / 12];

/** The plane of ‖ω‖ and γ: contours of the smooth objective, the line of balance, and the path. */
export function FactorsPlane({ records, pull }: ViewProps) {
  const last = records.at(-1)!;
  const widest = Math.max(2, ...records.slice(0, 1).map(({ primaryNorm }) => 1.15 * primaryNorm));
  const tallest = Math.max(2, ...records.slice(0, 1).map(({ gate }) => 1.15 * gate));
  const [horizontal, vertical]: readonly Point[] = [
    [0, widest],
    [0, tallest],
  ];
  const direction = coarse(last.direction);
  const frame = plane("‖ω‖", "γ", horizontal!, vertical!);
  const diagonal = Math.min(widest, tallest);
  return (
    <figure>
      <h3>The factors and the smooth objective</h3>
      <Chart
        label={`Contours of the smooth objective over ‖ω‖ and γ and the path, now at ${last.primaryNorm.toFixed(2)}, ${last.gate.toFixed(2)}`}
        height={340}
        layers={[
          {
            key: JSON.stringify([pull, direction, widest, tallest]),
            options: () => ({
              ...frame,
              marks: [
                contours(horizontal!, vertical!, (x, y) => smoothObjective(x, y, direction, pull)),
                Plot.line(
                  [
                    [0, 0],
                    [diagonal, diagonal],
                  ],
                  { stroke: "var(--good)", strokeDasharray: "5 4", strokeWidth: 2 },
                ),
                Plot.dot([[0, 0]], { r: 5, stroke: "var(--bad)", strokeWidth: 2 }),
              ],
            }),
          },
          {
            key: records,
            options: () => ({
              ...frame,
              x: { ...frame.x, axis: null },
              y: { ...frame.y, axis: null },
              marks: [
                Plot.line(
                  records.map(({ primaryNorm, gate }) => [primaryNorm, gate]),
                  { stroke: "var(--warm)", strokeWidth: 2.5 },
                ),
                Plot.dot([[last.primaryNorm, last.gate]], { r: 6, fill: "var(--warm)" }),
              ],
            }),
          },
        ]}
      />
      <figcaption>
        For the direction that ω has now. Dashed: balance, where smooth and sparse penalty are equal; the flow
        is drawn to it.
      </figcaption>
    </figure>
  );
}

const timeAxis = { label: "t", domain: [0, longestTime] } as const;

/** The imbalance over time, beside exp(−4λt/D). */
export function ImbalanceChart({ records, pull }: ViewProps) {
  const first = records[0]!.imbalance;
  const rate = (4 * pull.lambda) / pull.depth;
  const law = [0, longestTime].map(
    (t) => [t, Math.log10(Math.max(first, 1e-12)) - (rate * t) / Math.LN10] as const,
  );
  const measured = records.filter(({ imbalance }) => imbalance > 1e-9);
  return (
    <figure>
      <h3>Imbalance decays</h3>
      <Chart
        label={`Imbalance against time on a logarithmic scale, beside exp(−4λt/D); now ${short(records.at(-1)!.imbalance)}`}
        height={220}
        layers={[
          {
            key: records,
            options: () => ({
              marginLeft: 48,
              clip: true,
              x: timeAxis,
              y: {
                label: "log₁₀ |‖ω‖² − γ²|",
                domain: [-9, Math.max(1.5, Math.log10(first) + 0.3)],
                grid: true,
                ticks: 5,
              },
              marks: [
                Plot.line(measured, {
                  x: "time",
                  y: ({ imbalance }: FlowRecord) => Math.log10(imbalance),
                  stroke: "var(--warm)",
                  strokeWidth: 2.5,
                }),
                Plot.line(law, { stroke: "var(--ink)", strokeDasharray: "5 4", clip: true }),
              ],
            }),
          },
        ]}
      />
      <figcaption>Orange: measured along the path. Dashed: exp(−4λt/D), whatever the loss does.</figcaption>
    </figure>
  );
}

/** ‖w‖ over time, and the moment of death. */
export function NormChart({ records, pull }: ViewProps) {
  const death = records.find(({ norm }) => norm < deadNorm);
  const shown = records.filter(({ norm }) => norm > 1e-9);
  return (
    <figure>
      <h3>The norm of the group</h3>
      <Chart
        label={`Norm of the group against time on a logarithmic scale, now ${short(records.at(-1)!.norm)}`}
        height={220}
        layers={[
          {
            key: records,
            options: () => ({
              marginLeft: 48,
              x: timeAxis,
              y: { label: "log₁₀ ‖w‖", domain: [-9, 1], grid: true, ticks: 5 },
              marks: [
                Plot.ruleY([Math.log10(deadNorm)], { stroke: "var(--bad)", strokeDasharray: "5 4" }),
                Plot.line(shown, {
                  x: "time",
                  y: ({ norm }: FlowRecord) => Math.log10(norm),
                  stroke: "var(--accent)",
                  strokeWidth: 2.5,
                }),
                ...(death ? [Plot.ruleX([death.time], { stroke: "var(--bad)" })] : []),
              ],
            }),
          },
        ]}
      />
      <figcaption>
        {`Dead under ${deadNorm} (dashed). `}
        {pull.depth === 2
          ? `‖w‖ falls as exp(−2(λ − ‖∇L₀(0)‖)t) in the end, where λ = ${short(pull.lambda)} is over ‖∇L₀(0)‖ = ${short(lassoThreshold(pull.target))}.`
          : `After that ‖w‖ falls as exp(−2λt), λ = ${short(pull.lambda)}.`}
      </figcaption>
    </figure>
  );
}
