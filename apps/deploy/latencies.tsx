import * as Plot from "@observablehq/plot";
import { Chart } from "../ui/chart.tsx";
import { Notice } from "../ui/controls.tsx";
import { percent, short } from "../ui/format.ts";
import { median, quantile } from "../ui/in-turns.ts";
import { type Measurement, type Place, placeNames } from "./deployment.ts";

/** Histograms of the runs of two models. */
export function Latencies({
  place,
  of,
  names,
}: {
  readonly place: Place;
  readonly of: Measurement;
  readonly names: readonly [string, string];
}) {
  const most = Math.max(...[of.first, of.second].map((times) => quantile(times, 0.98)));
  const speedup = median(of.first) / median(of.second);
  return (
    <figure>
      <h3>
        {placeNames[place]}: {speedup.toFixed(2)} times {speedup >= 1 ? "faster" : "as fast"}
      </h3>
      <Chart
        label={`Histograms of latency: median ${median(of.first).toFixed(2)} and ${median(of.second).toFixed(2)} ms`}
        height={240}
        layers={[
          {
            key: of,
            options: () => ({
              marginLeft: 44,
              x: { label: "ms", domain: [0, most] },
              y: { label: "runs", grid: true },
              marks: [
                ...[of.first, of.second].map((times, i) =>
                  Plot.rectY(
                    times.filter((ms) => ms <= most),
                    {
                      ...Plot.binX({ y: "count" }, { x: Plot.identity, thresholds: 30, domain: [0, most] }),
                      fill: i === 0 ? "var(--faint)" : "var(--accent)",
                      fillOpacity: 0.65,
                    },
                  ),
                ),
                Plot.ruleX([median(of.first)], { stroke: "var(--faint)", strokeWidth: 2 }),
                Plot.ruleX([median(of.second)], { stroke: "var(--accent)", strokeWidth: 2 }),
                Plot.ruleY([0]),
              ],
            }),
          },
        ]}
      />
      <figcaption>
        Grey: {names[0]}, median {median(of.first).toFixed(2)} ms. Blue: {names[1]},{" "}
        {median(of.second).toFixed(2)} ms. {of.first.length} runs each
        {place === "wasm" ? `, ${of.threads} ${of.threads === 1 ? "thread" : "threads"}` : ""}.{" "}
        {of.maxAbsDiff === undefined
          ? "The models have not the same outputs."
          : `Outputs differ by at most ${short(of.maxAbsDiff)} (${percent(of.maxRelDiff!)} of the largest).`}
      </figcaption>
      {of.notes.map((note) => (
        <Notice key={note}>{note}</Notice>
      ))}
    </figure>
  );
}
