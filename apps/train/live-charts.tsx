import * as Plot from "@observablehq/plot";
import { Chart } from "../ui/chart.tsx";
import { short } from "../ui/format.ts";
import { deadFraction, type MomentTotals, totalsOf, type TrainingMoment } from "./training.ts";

interface LiveChartsProps {
  readonly moments: readonly TrainingMoment[];
  readonly epochs: number;
}

/** At most so many groups of a site are drawn. */
const mostLines = 40;

const every = <T,>(items: readonly T[], most: number): readonly T[] =>
  items.length <= most
    ? items
    : Array.from({ length: most }, (_, i) => items[Math.floor((i * items.length) / most)]!);

/** What happens while the networks train. */
export function LiveCharts({ moments, epochs }: LiveChartsProps) {
  const totals = moments.map((moment) => ({ epoch: moment.epoch, ...totalsOf(moment) }));
  const now = totals.at(-1);
  if (!now) return null;
  const scored = moments.flatMap(({ epoch, accuracy }) =>
    accuracy ? [{ epoch, dense: 100 * accuracy.dense, gated: 100 * accuracy.gated }] : [],
  );
  const lines = every(moments, 80).flatMap(({ epoch, sites }) =>
    sites.flatMap(({ site, norms }) => {
      const most = norms.reduce((a, b) => Math.max(a, b), 1e-12);
      const step = Math.max(1, Math.floor(norms.length / mostLines));
      return Array.from({ length: Math.ceil(norms.length / step) }, (_, i) => ({
        epoch,
        group: `${site} ${i}`,
        norm: Math.log10(Math.max(norms[i * step]! / most, 1e-5)),
      }));
    }),
  );
  const score = scored.at(-1);
  const accuracyText = score ? `${score.gated.toFixed(1)} % gated, ${score.dense.toFixed(1)} % dense` : "";
  return (
    <div class="columns two">
      <EpochChart
        title="Norms of the groups"
        label={`Norm of each group: ${now.active} of ${now.groups} are over the threshold`}
        y={{ label: "log₁₀ ‖w_j‖ / largest", domain: [-5, 0] }}
        caption="A group under the dashed line is dead: it is removed."
        {...{ moments, epochs }}
        marks={() => [
          Plot.line(lines, {
            x: "epoch",
            y: "norm",
            z: "group",
            stroke: "var(--accent)",
            strokeWidth: 0.8,
            strokeOpacity: 0.5,
          }),
          Plot.ruleY([Math.log10(deadFraction)], { stroke: "var(--bad)", strokeDasharray: "5 4" }),
        ]}
      />
      <EpochChart
        title="Right answers on fresh digits"
        label={`Accuracy: ${accuracyText}`}
        y={{ label: "% right", domain: [0, 100] }}
        caption="Blue: with gates. Dashed: the dense network, with the same batches and steps."
        {...{ moments, epochs }}
        marks={() => [
          Plot.line(scored, { x: "epoch", y: "dense", ...secondary }),
          Plot.line(scored, { x: "epoch", y: "gated", stroke: "var(--accent)", strokeWidth: 2.5 }),
          Plot.dot(scored, { x: "epoch", y: "gated", fill: "var(--accent)", r: 2.5 }),
        ]}
      />
      <EpochChart
        title="Groups that are left"
        label={`Groups over the threshold, now ${now.active} of ${now.groups}`}
        y={{ label: "groups", domain: [0, now.groups] }}
        caption="Of all sites together."
        {...{ moments, epochs }}
        marks={() => [
          Plot.line(totals, { x: "epoch", y: "active", stroke: "var(--good)", strokeWidth: 2.5 }),
        ]}
      />
      <EpochChart
        title="Gap and imbalance"
        label={`Gap between smooth and sparse penalty, now ${short(now.gap)}, and imbalance, now ${short(now.imbalance)}`}
        y={{ label: "log₁₀" }}
        caption="Orange: smooth minus sparse penalty, for the largest λ. Dashed: median |‖ω‖² − γ²|."
        {...{ moments, epochs }}
        marks={() => [
          Plot.line(
            totals.filter(({ gap }) => gap > 1e-12),
            {
              x: "epoch",
              y: ({ gap }: MomentTotals) => Math.log10(gap),
              stroke: "var(--warm)",
              strokeWidth: 2.5,
            },
          ),
          Plot.line(
            totals.filter(({ imbalance }) => imbalance > 1e-12),
            { x: "epoch", y: ({ imbalance }: MomentTotals) => Math.log10(imbalance), ...secondary },
          ),
        ]}
      />
    </div>
  );
}

/** How what stands beside a plot's subject is drawn. */
const secondary = { stroke: "var(--faint)", strokeDasharray: "6 3", strokeWidth: 2 } as const;

interface EpochChartProps extends LiveChartsProps {
  readonly title: string;
  /** What is drawn, but for the axis. */
  readonly label: string;
  readonly y: Plot.ScaleOptions;
  readonly caption: string;
  readonly marks: () => Plot.Markish[];
}

/** A plot against the epochs. */
function EpochChart({ title, label, y, caption, moments, epochs, marks }: EpochChartProps) {
  return (
    <figure>
      <h3>{title}</h3>
      <Chart
        label={`${label}; against the epoch`}
        height={220}
        layers={[
          {
            key: moments,
            options: () => ({
              marginLeft: 44,
              x: { label: "epoch", domain: [0, epochs] },
              y: { grid: true, ...y },
              marks: marks(),
            }),
          },
        ]}
      />
      <figcaption>{caption}</figcaption>
    </figure>
  );
}
