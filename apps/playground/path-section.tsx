import * as Plot from "@observablehq/plot";
import { proxy } from "comlink";
import { useEffect, useState } from "preact/hooks";
import { Chart } from "../ui/chart.tsx";
import { Choice, Slider, Stats } from "../ui/controls.tsx";
import { short } from "../ui/format.ts";
import { useJobs } from "../ui/use-jobs.tsx";
import { useWorker } from "../ui/use-worker.ts";
import type { PathWorker } from "./path-worker.ts";
import { type PathPoint, type RegressionSetup, type RegressionTruth, zeroNorm } from "./regression-path.ts";

const fixed = { groups: 12, groupSize: 3, rows: 120, points: 25, steps: 1500 } as const;

const startWorker = (): Worker =>
  new Worker(new URL("./path-worker.ts", import.meta.url), { type: "module" });

/** Draws a path in a worker; a new one ends the one before. */
function usePath(setup: RegressionSetup) {
  const [truth, setTruth] = useState<RegressionTruth>();
  const [points, setPoints] = useState<readonly PathPoint[]>([]);
  const [done, setDone] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const { api, end } = useWorker<PathWorker>(startWorker, ({ message }) => jobs.giveUp(message, "path"));
  const jobs = useJobs<"path">(() => {
    end();
    jobs.giveUp("Cancelled.");
  });
  useEffect(() => {
    // What the worker of the path before has sent may still come.
    let live = true;
    const text = (count: number): string => `λ ${count} of ${setup.points}`;
    setPoints([]);
    setDone(false);
    const found: PathPoint[] = [];
    void jobs.run("path", text(0), async (tell) => {
      await api().follow(
        setup,
        proxy(async (each: RegressionTruth) => {
          if (live) setTruth(each);
        }),
        proxy(async (point: PathPoint) => {
          if (!live) return;
          found.push(point);
          setPoints([...found]);
          tell({ text: text(found.length), part: found.length / setup.points });
        }),
      );
      if (live) setDone(true);
    });
    return () => {
      live = false;
      end();
    };
  }, [JSON.stringify(setup), attempt]);
  return { truth, points, jobs, done, again: () => setAttempt(attempt + 1) };
}

const supportOf = ({ norms }: PathPoint): readonly number[] =>
  norms.flatMap((norm, j) => (norm > zeroNorm ? [j] : []));

/** The λ at which the right groups are left, and no others. */
const exactPoints = (points: readonly PathPoint[], { relevant }: RegressionTruth): readonly PathPoint[] =>
  points.filter((point) => supportOf(point).join() === relevant.join());

/** A regression of which it is known which groups matter, along a path of λ. */
export function PathSection() {
  const [depth, setDepth] = useState<"2" | "3" | "4">("2");
  const [noise, setNoise] = useState(0.5);
  const [relevant, setRelevant] = useState(4);
  const [seed, setSeed] = useState(1);
  const { truth, points, jobs, done, again } = usePath({
    ...fixed,
    depth: Number(depth),
    noise,
    relevant,
    seed,
  });
  const exact = truth ? exactPoints(points, truth) : [];
  const violation = Math.max(0, ...points.map((point) => point.violation));
  return (
    <section class="card" aria-labelledby="path">
      <h2 id="path">Which groups matter? A path of λ</h2>
      <p>
        {fixed.rows} rows are drawn with {fixed.groups} groups of {fixed.groupSize} columns; y depends on some
        of the groups alone, and on noise. At each λ gradient descent starts anew, from all groups. A group's
        line ends where the group dies; with D over 2 it may be found again at another λ.
      </p>
      <div class="fields">
        <Choice
          label="D"
          value={depth}
          options={[
            ["2", "2: the group lasso"],
            ["3", "3: ‖w‖ to the 2/3"],
            ["4", "4: ‖w‖ to the 1/2"],
          ]}
          onChange={setDepth}
        />
        <Slider
          label="Noise"
          value={noise}
          min={0}
          max={2}
          step={0.1}
          show={(x) => x.toFixed(1)}
          onChange={setNoise}
        />
        <Slider label="Groups that matter" value={relevant} min={1} max={8} onChange={setRelevant} />
        <Slider label="Draw" value={seed} min={1} max={20} onChange={setSeed} />
      </div>
      <PathPlot points={points} truth={truth} />
      {jobs.status("path")}
      {jobs.failed("path") && (
        <div class="row">
          <button type="button" onClick={again}>
            Start again
          </button>
        </div>
      )}
      {done && truth && (
        <>
          <Stats
            of={[
              ["groups that matter", truth.relevant.map((j) => j + 1).join(", ")],
              ["λ with exactly these", `${exact.length} of ${points.length}`],
              ["λ that empties the group lasso", short(truth.lambdaMax)],
              ["distance from a stationary point", short(violation)],
            ]}
          />
          <p class="hint">
            The last figure is a check: the largest violation, over all λ, of the conditions that a minimum of
            the sparse objective
            {depth === "2" ? " (the group lasso) must" : " must"} meet. D-Gating knows nothing of them.
          </p>
        </>
      )}
    </section>
  );
}

function PathPlot({
  points,
  truth,
}: {
  readonly points: readonly PathPoint[];
  readonly truth: RegressionTruth | undefined;
}) {
  const lines = points.flatMap(({ lambda, norms }) =>
    norms.map((norm, j) => ({ lambda, norm, j, matters: truth?.relevant.includes(j) ?? false })),
  );
  const alive = lines.filter(({ norm }) => norm > zeroNorm);
  return (
    <figure>
      <Chart
        label={`Norm of each group against λ: ${points.map((point) => `λ ${short(point.lambda)}: ${supportOf(point).length} groups`).join("; ")}`}
        height={300}
        layers={[
          {
            key: points,
            options: () => ({
              marginLeft: 48,
              x: {
                type: "log",
                label: "λ",
                ...(truth && { domain: [(1.05 * truth.lambdaMax) / 40, 1.1 * truth.lambdaMax] }),
                tickFormat: short,
                ticks: 5,
              },
              y: { label: "‖w_j‖", grid: true, domain: [0, Math.max(1, ...lines.map(({ norm }) => norm))] },
              marks: [
                Plot.ruleY([0]),
                // A line is broken where its group is dead.
                Plot.line(lines, {
                  x: "lambda",
                  y: ({ norm }: { norm: number }) => (norm > zeroNorm ? norm : Number.NaN),
                  z: "j",
                  stroke: ({ matters }: { matters: boolean }) => (matters ? "var(--accent)" : "var(--warm)"),
                  strokeWidth: 2,
                }),
                Plot.dot(alive, {
                  x: "lambda",
                  y: "norm",
                  r: 2,
                  symbol: ({ matters }: { matters: boolean }) => (matters ? "circle" : "times"),
                  stroke: ({ matters }: { matters: boolean }) => (matters ? "var(--accent)" : "var(--warm)"),
                }),
              ],
            }),
          },
        ]}
      />
      <figcaption>Blue, dots: groups that matter. Orange, crosses: groups of noise.</figcaption>
    </figure>
  );
}
