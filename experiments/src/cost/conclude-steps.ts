import type { Conclusion, ResultTable, Run, Verdict } from "../experiment.ts";
import type { LineChart } from "../report/line-chart.ts";
import type { DepthCost, StepResult, StepSetup } from "./measure-steps.ts";
import { costNetwork, networkNames } from "./networks.ts";

type StepRun = Run<StepSetup, StepResult>;

interface Measured {
  readonly setup: StepSetup;
  readonly device: string;
  readonly tiny: boolean;
  readonly plain: DepthCost;
  readonly gated: readonly DepthCost[];
}

/** Of the time of a plain step. Tiny networks are left out: there calls cost more than numbers. */
const limit = 1.5;

const engines = ["onnxruntime", "tfjs"] as const;

/** @param required backends without which nothing is shown */
export function concludeSteps(
  runs: readonly StepRun[],
  required: readonly Pick<StepSetup, "engine" | "backend">[],
): Conclusion {
  const measured = runs.flatMap(({ setup, result }): Measured[] => {
    if ("absent" in result) return [];
    const [plain, ...gated] = result.depths;
    return [{ setup, device: result.device, tiny: result.tiny, plain: plain!, gated }]; // plain training comes first
  });
  const laws = [ranEverywhere(measured, runs, required), grewByGates(measured), sameStart(measured)];
  const quick = runs.every(({ setup }) => setup.quick);
  return {
    verdicts: quick ? laws : [...laws, ...engines.flatMap((engine) => cheap(measured, engine))],
    tables: [timeTable(measured), memoryTable(measured), ...absentTable(runs)],
    charts: quick ? [] : charts(measured),
  };
}

function ranEverywhere(
  measured: readonly Measured[],
  runs: readonly StepRun[],
  required: readonly Pick<StepSetup, "engine" | "backend">[],
): Verdict {
  const places = new Set(measured.map(({ setup }) => placeOf(setup)));
  const missing = required.map(placeOf).filter((place) => !places.has(place));
  const absent = new Set(runs.map(({ setup }) => placeOf(setup)).filter((place) => !places.has(place)));
  const without = absent.size > 0 ? `; not there: ${[...absent].join(", ")}` : "";
  return {
    claim: "gated and plain steps run on every backend that is there, all losses finite",
    // Losses that are not finite are refused when a run is written down.
    holds: missing.length === 0 && measured.length > 0,
    figure: `${places.size} backends${without}`,
  };
}

function grewByGates(measured: readonly Measured[]): Verdict {
  const right = measured.filter(({ setup, tiny, plain, gated }) => {
    const { groups } = costNetwork(setup.network, tiny);
    return gated.every(({ depth, parameters }) => parameters - plain.parameters === (depth - 1) * groups);
  });
  return {
    claim: "gating adds exactly D − 1 parameters a group",
    holds: right.length === measured.length && measured.length > 0,
    figure: `${right.length} of ${measured.length} networks on their backends`,
  };
}

function sameStart(measured: readonly Measured[]): Verdict {
  const first = new Map<string, number[]>();
  for (const { setup, tiny, plain, gated } of measured) {
    const same = `${setup.network} ${tiny} ${setup.seed}`;
    first.set(same, [...(first.get(same) ?? []), ...[plain, ...gated].map(({ firstLoss }) => firstLoss)]);
  }
  const gaps = [...first.values()].map((losses) => Math.max(...losses) - Math.min(...losses));
  const gap = Math.max(...gaps);
  return {
    claim: "the first loss is that of the plain network, at every depth and on every backend",
    holds: gap < 1e-4 && measured.length > 0,
    figure: `largest difference ${gap.toExponential(1)}`,
  };
}

/** On the CPU, and on a GPU where there was one: these networks are small for it, and a step is the launches of its kernels. */
function cheap(measured: readonly Measured[], engine: StepSetup["engine"]): Verdict[] {
  const own = measured.filter(({ setup, tiny }) => setup.engine === engine && !tiny);
  const gpus = own.filter(({ setup }) => gpuBackends.has(setup.backend));
  const rest = own.filter((each) => !gpus.includes(each));
  return [
    atMostLimit(`a gated step costs at most ${limit} plain ones on ${engine}`, rest),
    ...(gpus.length > 0 ? [atMostLimit(`so it does on a GPU, with ${engine}`, gpus)] : []),
  ];
}

const gpuBackends = new Set<StepSetup["backend"]>(["webgpu", "node-gpu"]);

function atMostLimit(claim: string, measured: readonly Measured[]): Verdict {
  const ratios = measured.flatMap(({ setup, gated }) =>
    gated.map(({ ratio, depth }) => ({
      ratio: ratio[1],
      where: `${setup.backend}, ${setup.network}, D = ${depth}`,
    })),
  );
  if (ratios.length === 0) return { claim, holds: false, figure: "nothing was measured" };
  const most = ratios.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  return {
    claim,
    holds: most.ratio <= limit,
    figure: `at most ${most.ratio.toFixed(2)} (${most.where})`,
  };
}

function timeTable(measured: readonly Measured[]): ResultTable {
  return {
    title: "Time of a step: plain, and gated over plain (medians of paired ratios, quartiles in brackets)",
    header: ["backend", "network", "rounds", "plain, ms", "D = 2", "D = 3", "D = 4"],
    rows: measured.map(({ setup, device, tiny, plain, gated }) => [
      `${placeOf(setup)} (${device})`,
      costNetwork(setup.network, tiny).title,
      String(plain.rounds),
      plain.medianMs.toPrecision(3),
      ...gated.map(
        ({ ratio: [low, middle, high] }) => `${middle.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`,
      ),
    ]),
  };
}

function memoryTable(measured: readonly Measured[]): ResultTable {
  return {
    title:
      "Memory, plain and at D = 2, 3, 4: numbers that are trained and bytes of optimiser, exactly; the most that a step holds (tfjs: tensors; onnxruntime: the trainer's " +
      "estimate), and what the process grew by, coarsely, MB",
    header: ["backend", "network", "parameters", "optimiser, bytes", "peak, MB", "grown, MB"],
    rows: measured.map(({ setup, tiny, plain, gated }) => {
      const all = [plain, ...gated];
      const list = (pick: (cost: DepthCost) => string): string => all.map(pick).join(", ");
      return [
        placeOf(setup),
        costNetwork(setup.network, tiny).title,
        list(({ parameters }) => String(parameters)),
        list(({ optimizerBytes }) => String(optimizerBytes)),
        list(({ peakBytes }) => (peakBytes / 1e6).toPrecision(3)),
        list(({ grownBytes }) => (grownBytes / 1e6).toFixed(0)),
      ];
    }),
  };
}

/** Why backends are not there, once for each. */
function absentTable(runs: readonly StepRun[]): ResultTable[] {
  const reasons = new Map(
    runs.flatMap(({ setup, result }) =>
      "absent" in result ? [[placeOf(setup), result.absent] as const] : [],
    ),
  );
  if (reasons.size === 0) return [];
  return [{ title: "Backends that are not there", header: ["backend", "why"], rows: [...reasons] }];
}

function charts(measured: readonly Measured[]): LineChart[] {
  const places = [...new Set(measured.map(({ setup }) => placeOf(setup)))];
  return networkNames.map((network) => ({
    title: `Time of a gated step, ${network}`,
    caption:
      "Over that of a plain step, by depth; D = 1 is the plain step. Backends that had a tiny network are left out.",
    x: { name: "D" },
    y: { name: "gated / plain", min: 0 },
    series: measured
      .filter(({ setup, tiny }) => setup.network === network && !tiny)
      .map(({ setup, plain, gated }) => ({
        name: placeOf(setup),
        colour: places.indexOf(placeOf(setup)) + 1,
        dots: true,
        points: [plain, ...gated].map(({ depth, ratio }) => [depth, ratio[1]] as const),
      })),
  }));
}

const placeOf = ({ engine, backend }: Pick<StepSetup, "engine" | "backend">): string =>
  `${engine} ${backend}`;
