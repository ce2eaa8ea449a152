import * as Plot from "@observablehq/plot";
import { Chart } from "../ui/chart.tsx";
import { percent, short } from "../ui/format.ts";
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
  const last = moments.at(-1);
  if (!last) return null;
  const totals = moments.map((moment) => ({ epoch: moment.epoch, ...totalsOf(moment) }));
  const now = totals.at(-1)!;
  const time = { label: "epoch", domain: [0, epochs] } as const;
  const scored = moments.flatMap(({ epoch, accuracy }) =>
    accuracy ? [{ epoch, dense: accuracy.dense, gated: accuracy.gated }] : [],
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
  const accuracyText = scored.at(-1)
    ? `${percent(scored.at(-1)!.gated)} gated, ${percent(scored.at(-1)!.dense)} dense`
    : "";
  return (
    <div class="columns two">
      <figure>
        <h3>Norms of the groups</h3>
        <Chart
          label={`Norm of each group against the epoch: ${now.active} of ${now.groups} are over the threshold`}
          height={240}
          layers={[
            {
              key: moments,
              options: () => ({
                marginLeft: 44,
                x: time,
                y: { label: "log₁₀ ‖w_j‖ / largest", domain: [-5, 0], grid: true },
                marks: [
                  Plot.line(lines, {
                    x: "epoch",
                    y: "norm",
                    z: "group",
                    stroke: "var(--accent)",
                    strokeWidth: 0.8,
                    strokeOpacity: 0.5,
                  }),
                  Plot.ruleY([Math.log10(deadFraction)], { stroke: "var(--bad)", strokeDasharray: "5 4" }),
                ],
              }),
            },
          ]}
        />
        <figcaption>A group under the dashed line is dead: it is removed.</figcaption>
      </figure>
      <figure>
        <h3>Right answers on fresh digits</h3>
        <Chart
          label={`Accuracy against the epoch: ${accuracyText}`}
          height={240}
          layers={[
            {
              key: moments,
              options: () => ({
                marginLeft: 44,
                x: time,
                y: { label: "% right", domain: [0, 100], grid: true },
                marks: [
                  Plot.line(scored, {
                    x: "epoch",
                    y: ({ dense }: { dense: number }) => 100 * dense,
                    stroke: "var(--faint)",
                    strokeDasharray: "6 3",
                    strokeWidth: 2,
                  }),
                  Plot.line(scored, {
                    x: "epoch",
                    y: ({ gated }: { gated: number }) => 100 * gated,
                    stroke: "var(--accent)",
                    strokeWidth: 2.5,
                  }),
                  Plot.dot(scored, {
                    x: "epoch",
                    y: ({ gated }: { gated: number }) => 100 * gated,
                    fill: "var(--accent)",
                    r: 2.5,
                  }),
                ],
              }),
            },
          ]}
        />
        <figcaption>Blue: with gates. Dashed: the dense network, with the same batches and steps.</figcaption>
      </figure>
      <figure>
        <h3>Groups that are left</h3>
        <Chart
          label={`Groups over the threshold against the epoch, now ${now.active} of ${now.groups}`}
          height={200}
          layers={[
            {
              key: moments,
              options: () => ({
                marginLeft: 44,
                x: time,
                y: { label: "groups", domain: [0, now.groups], grid: true },
                marks: [
                  Plot.line(totals, { x: "epoch", y: "active", stroke: "var(--good)", strokeWidth: 2.5 }),
                ],
              }),
            },
          ]}
        />
      </figure>
      <figure>
        <h3>Gap and imbalance</h3>
        <Chart
          label={`Gap between smooth and sparse penalty, now ${short(now.gap)}, and imbalance, now ${short(now.imbalance)}, against the epoch`}
          height={200}
          layers={[
            {
              key: moments,
              options: () => ({
                marginLeft: 44,
                x: time,
                y: { label: "log₁₀", grid: true },
                marks: [
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
                    {
                      x: "epoch",
                      y: ({ imbalance }: MomentTotals) => Math.log10(imbalance),
                      stroke: "var(--faint)",
                      strokeDasharray: "6 3",
                      strokeWidth: 2,
                    },
                  ),
                ],
              }),
            },
          ]}
        />
        <figcaption>
          Orange: smooth minus sparse penalty, for the largest λ. Dashed: median |‖ω‖² − γ²|.
        </figcaption>
      </figure>
    </div>
  );
}
