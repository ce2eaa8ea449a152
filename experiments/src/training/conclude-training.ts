import type { Conclusion, ResultTable, Run, Verdict } from "../experiment.ts";
import { mean, plusMinus, signedMean, significant, standardError } from "../report/figures.ts";
import type { LineChart } from "../report/line-chart.ts";
import type { Point } from "./point.ts";
import { meanPoints, paretoFront, scoreAt, type SizeOf } from "./summary.ts";
import type {
  MethodSweep,
  ScoreKind,
  TrainingExperiment,
  TrainingResult,
  TrainingSetup,
} from "./training-experiment.ts";

interface ConcludeOptions extends Pick<TrainingExperiment, "score" | "verdicts" | "more"> {
  readonly sweeps: readonly MethodSweep[];
  readonly sizes: readonly number[];
}

/** The points of all runs by method and seed, and questions to them. */
export class TrainedRuns {
  readonly quick: boolean;
  readonly groups: number;
  readonly seeds: readonly number[];
  readonly sizes: readonly number[];
  readonly score: ScoreKind;
  readonly #runs: readonly Run<TrainingSetup, TrainingResult>[];

  constructor(
    runs: readonly Run<TrainingSetup, TrainingResult>[],
    { score, sizes }: Pick<ConcludeOptions, "score" | "sizes">,
  ) {
    this.#runs = runs;
    this.score = score;
    this.sizes = sizes;
    this.quick = runs[0]!.setup.quick;
    this.groups = runs[0]!.result.groups;
    this.seeds = [...new Set(runs.map(({ setup }) => setup.seed))];
  }

  /** Points of a method, of one seed or of all. */
  points(method: string, seed?: number): readonly Point[] {
    return this.#runs
      .filter(({ setup }) => setup.method === method && (seed === undefined || setup.seed === seed))
      .flatMap(({ result }) => result.points);
  }

  /** Scores at a fraction of the groups, seed by seed; empty unless every seed has one. */
  scoresAt(method: string, fraction: number): readonly number[] {
    const found = this.seeds.map((seed) =>
      scoreAt(this.points(method, seed), byGroups, fraction * this.groups, this.score.sign),
    );
    return found.every((each) => each !== undefined) ? found : [];
  }

  /** How far a method is ahead of another, in the unit of the score: by size that both reach in every seed, seed by seed. */
  leads(ours: string, theirs: string, sizes: readonly number[] = this.sizes): readonly (readonly number[])[] {
    const { sign, scale } = this.score;
    return sizes.flatMap((size) => {
      const [a, b] = [this.scoresAt(ours, size), this.scoresAt(theirs, size)];
      return a.length === 0 || b.length === 0 ? [] : [a.map((score, i) => sign * scale * (score - b[i]!))];
    });
  }

  /** That a method is ahead of another in the mean over the sizes that both reach; for quick sweeps, of few seeds. */
  ahead(ours: string, theirs: string): Verdict {
    const claim = `${ours} is ahead of "${theirs}"`;
    const leads = this.leads(ours, theirs);
    if (leads.length === 0) return { claim, holds: false, figure: "they meet at no size" };
    const { digits, unit } = this.score;
    const centre = mean(leads.map(mean));
    return {
      claim,
      holds: centre > 0,
      figure: `${signed(centre, digits)} ${unit}, mean over ${leads.length} sizes`,
    };
  }

  /**
   * How far a method is ahead of another, in words: the mean over the sizes that both reach with its standard error, seed by seed, and the number of
   * these sizes. A lead, or its opposite, counts where Student's t says so.
   */
  leadCell(ours: string, theirs: string): string {
    const leads = this.leads(ours, theirs);
    if (ours === theirs || leads.length === 0) return "–";
    const bySeed = this.seeds.map((_, i) => mean(leads.map((own) => own[i]!)));
    const [centre, error] = [mean(bySeed), standardError(bySeed)];
    const text = `${signedMean(bySeed, this.score.digits)} (${leads.length})`;
    const least = significant(this.seeds.length) * error;
    if (centre > least) return `**${text}, ahead**`;
    return centre < -least ? `${text}, behind` : `${text}, alike`;
  }

  /** That cutting off what a penalty has killed costs no more than so much. */
  removalCostsNothing(methods: readonly string[], most: number): Verdict {
    const { sign, scale, digits, unit } = this.score;
    const costs = methods.flatMap((method) =>
      this.points(method).flatMap(({ score, gatedScore }) =>
        gatedScore === undefined ? [] : [sign * scale * (gatedScore - score)],
      ),
    );
    const claim = "removing what the gates have turned off costs next to nothing";
    if (costs.length === 0) return { claim, holds: false, figure: "nothing was measured" };
    return {
      claim,
      holds: Math.max(...costs) <= most,
      figure: `at most ${Math.max(...costs).toFixed(digits)} ${unit}, ${mean(costs).toFixed(digits)} in the mean of ${costs.length} runs`,
    };
  }

  /** That λ chooses how much stays. */
  fewerWithLambda(methods: readonly string[]): Verdict {
    const rows = methods.map((method) =>
      meanPoints(this.points(method))
        .toSorted((a, b) => a.strength - b.strength)
        .map(({ groups }) => groups),
    );
    const monotone = rows.every((groups) => groups.every((count, i) => i === 0 || count <= groups[i - 1]!));
    const claim = "a larger λ leaves fewer groups";
    if (rows.length === 0 || rows.some((groups) => groups.length < 2))
      return { claim, holds: false, figure: "there are not two values of λ to compare" };
    const ends = rows.map((groups) => `${groups[0]!.toFixed(0)} to ${groups.at(-1)!.toFixed(0)}`);
    return {
      claim,
      holds: monotone && rows.every((groups) => groups.at(-1)! < groups[0]!),
      figure: methods.map((method, i) => `${method}: ${ends[i]} of ${this.groups}`).join("; "),
    };
  }
}

const signed = (value: number, digits: number): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

const byGroups: SizeOf = ({ groups }) => groups;
const byMacs: SizeOf = ({ macs }) => macs;

/** Tables and plots that all experiments with training have. */
export function concludeTraining(
  runs: readonly Run<TrainingSetup, TrainingResult>[],
  options: ConcludeOptions,
): Conclusion {
  const trained = new TrainedRuns(runs, options);
  const extra = options.more?.(trained) ?? {};
  return {
    verdicts: options.verdicts(trained),
    tables: [tableAtSizes(trained, options), ...(extra.tables ?? [])],
    charts: [
      scoreChart(trained, options, "groups that stay", byGroups),
      scoreChart(trained, options, "parameters", ({ parameters }) => parameters),
      scoreChart(trained, options, "multiply–adds", byMacs),
      scoreChart(
        trained,
        options,
        "latency of the dense model / own latency, in turns",
        ({ speedup }) => speedup,
      ),
      frontChart(trained, options),
      ...(extra.charts ?? []),
    ],
  };
}

function tableAtSizes(trained: TrainedRuns, { sweeps, score, sizes }: ConcludeOptions): ResultTable {
  const { scale, digits, sign, unit, name } = score;
  const compared = sweeps.slice(1); // the dense model comes first
  const cells = compared.map(({ method }) =>
    sizes.map((size) => trained.scoresAt(method.name, size).map((each) => scale * each)),
  );
  const best = sizes.map((_, i) =>
    Math.max(...cells.map((row) => (row[i]!.length > 0 ? sign * mean(row[i]!) : -Infinity))),
  );
  const dense = trained.points(sweeps[0]!.method.name).map((point) => scale * point.score);
  return {
    title: `${name[0]!.toUpperCase()}${name.slice(1)} in ${unit} with at most so many groups (${trained.groups} in all: dense ${plusMinus(dense, digits)}), by the best points of each run and lines between them; means ± standard deviations of ${trained.seeds.length} seeds`,
    header: ["", ...sizes.map((size) => String(Math.round(size * trained.groups)))],
    rows: compared.map(({ method }, m) => [
      method.name,
      ...cells[m]!.map((own, i) => {
        if (own.length === 0) return "–";
        const text = plusMinus(own, digits);
        return sign * mean(own) === best[i] ? `**${text}**` : text;
      }),
    ]),
  };
}

function scoreChart(
  trained: TrainedRuns,
  { sweeps, score }: ConcludeOptions,
  xName: string,
  xOf: SizeOf,
): LineChart {
  const { scale, name, unit } = score;
  const series = sweeps.flatMap(({ method }) => {
    const means = meanPoints(trained.points(method.name)).toSorted((a, b) => xOf(a) - xOf(b));
    const look = { name: method.name, colour: method.colour, dashed: method.dashed ?? false };
    return [
      { ...look, dots: true, points: means.map((point) => [xOf(point), scale * point.score] as const) },
      // From the worst seed to the best.
      ...means.map((point) => ({
        ...look,
        dashed: false,
        thin: true,
        points: [
          [xOf(point), scale * point.low],
          [xOf(point), scale * point.high],
        ] as const,
      })),
    ];
  });
  return {
    title: `${name}, ${xName}`,
    caption: `Means over ${trained.seeds.length} seeds with the worst and the best of them, one point for each λ or fraction${cutNote(trained, sweeps)}.`,
    x: { name: xName, log: true },
    y: { name: unit, ...rangeOf(trained, sweeps) },
    series,
  };
}

/** Bad points would flatten all others: the axis ends a little past what D-Gating comes to. */
function rangeOf(trained: TrainedRuns, sweeps: readonly MethodSweep[]): { min?: number; max?: number } {
  const { sign, scale } = trained.score;
  const scores = (wanted: (name: string) => boolean): number[] =>
    sweeps
      .filter(({ method }) => wanted(method.name))
      .flatMap(({ method }) => trained.points(method.name).map(({ score }) => scale * score));
  const all = scores(() => true);
  const ours = scores((name) => name.startsWith("D-Gating"));
  if (ours.length === 0) return {};
  const [best, worst] =
    sign > 0 ? [Math.max(...all), Math.min(...ours)] : [Math.min(...all), Math.max(...ours)];
  const span = Math.abs(best - worst);
  if (sign > 0) return { min: atTick(Math.max(Math.min(...all), worst - 0.3 * span), span, Math.floor) };
  return { max: atTick(Math.min(Math.max(...all), worst + 0.3 * span), span, Math.ceil) };
}

/** An end of an axis where a tick may be, so that its label is a short number. */
function atTick(value: number, span: number, round: (x: number) => number): number {
  if (span === 0) return value;
  const tick = 2 * 10 ** (Math.floor(Math.log10(span)) - 1);
  return Number((tick * round(value / tick)).toPrecision(6));
}

function cutNote(trained: TrainedRuns, sweeps: readonly MethodSweep[]): string {
  const { min = -Infinity, max = Infinity } = rangeOf(trained, sweeps);
  const outside = sweeps.flatMap(({ method }) =>
    meanPoints(trained.points(method.name)).filter(({ score }) => {
      const y = score * trained.score.scale;
      return y < min || y > max;
    }),
  );
  return outside.length > 0 ? `; ${outside.length} points are worse than the plot shows` : "";
}

function frontChart(trained: TrainedRuns, { sweeps, score }: ConcludeOptions): LineChart {
  const { scale, sign, name, unit } = score;
  const points = sweeps.flatMap(({ method }) =>
    meanPoints(trained.points(method.name)).map((point) => ({ ...point, method })),
  );
  const front = paretoFront(points, byMacs, sign);
  const at = (point: Point): readonly [number, number] => [byMacs(point), scale * point.score];
  return {
    title: `${name}, Pareto front`,
    caption: `What no other mean beats in both multiply–adds and ${name}, from few to many: ${front.map(({ method }) => method.name).join("; ")}.`,
    x: { name: "multiply–adds", log: true },
    y: { name: unit, ...rangeOf(trained, sweeps) },
    series: [
      { name: "front", colour: 0, dashed: true, points: front.map(at) },
      ...sweeps.map(({ method }) => ({
        name: method.name,
        colour: method.colour,
        dashed: method.dashed ?? false,
        dots: "only" as const,
        points: points.filter((point) => point.method === method).map(at),
      })),
    ],
  };
}
