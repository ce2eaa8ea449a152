import { type LambdaSchedule, warmupStableDecay } from "@dgate/core";
import type { Schedule, TrainerOptions } from "@dgate/onnx/train";
import type { Outcome } from "../training/point.ts";
import type { Method } from "./method.ts";
import { type MethodContext, scaled, trainPhase, trainPlainly } from "./training-run.ts";

/** How a penalty is used. */
export interface PenaltySettings
  extends Pick<
    TrainerOptions,
    "depth" | "penalty" | "initial" | "groupWeights" | "gateRate" | "optimizer" | "learningRate"
  > {
  /** How many times the rate of the weights the gates have (default: as the task says). */
  readonly gateSpeed?: number;
  /** λ over the progress of the phase, of the given one. */
  readonly anneal?: (lambda: number) => (progress: number) => number;
  /** Part of the steps that the pruned model is trained for, without a penalty. */
  readonly tune?: number;
  /** The rate of that training, of the task's (default 1). */
  readonly tuneRate?: number;
  /** How often the gates are balanced on the way (default 0). The optimiser's memory is lost each time. */
  readonly rebalance?: number;
}

/** Trains under a penalty on the groups, then removes the dead ones; nothing is trained after that unless `tune` says so. */
export async function trainPenalised(
  context: MethodContext,
  lambda: number,
  { tune = 0, tuneRate = 1, ...settings }: PenaltySettings,
): Promise<Outcome> {
  const { task } = context;
  const end = Math.round((1 - tune) * task.steps);
  const found = await underPenalty(context, lambda, end, settings);
  if (tune === 0) return found;
  const phase = { from: end, to: task.steps, learningRate: scaled(task.learningRate, tuneRate) };
  const graph = await trainPlainly(context, found.graph, phase);
  return { ...found, graph };
}

async function underPenalty(
  context: MethodContext,
  lambda: number,
  end: number,
  { anneal, rebalance = 0, gateSpeed, ...options }: PenaltySettings,
): Promise<Outcome> {
  const { task, seed } = context;
  const learningRate = options.learningRate ?? task.learningRate;
  const schedules = {
    learningRate,
    lambda: (anneal ?? ramp(task.penaltyRamp))(lambda),
    ...(gateSpeed !== undefined && { gateRate: scaled(learningRate, gateSpeed) }),
    ...(options.gateRate !== undefined && { gateRate: options.gateRate }),
  };
  let graph = await task.build(seed);
  for (let part = 0; ; part++) {
    const [from, to] = [part, part + 1].map((border) => Math.round((border * end) / (rebalance + 1)));
    const own = Object.entries(schedules).map(([name, schedule]) => [
      name,
      within(schedule, from! / end, to! / end),
    ]);
    const last = part === rebalance;
    // Gates that are folded and put in again are balanced.
    const outcome = await trainPhase(
      context,
      graph,
      { from: from!, to: to! },
      { gate: task.gate, ...options, ...Object.fromEntries(own) },
      async (trainer): Promise<Outcome> => {
        const { graph: folded } = await trainer.fold();
        if (!last) return { strength: lambda, graph: folded, kept: {} };
        const { graph: pruned, decisions } = await trainer.prune();
        return {
          strength: lambda,
          graph: pruned,
          gatedScore: await task.score(folded),
          near: decisions.reduce((sum, { near }) => sum + near, 0),
          kept: Object.fromEntries(
            decisions.flatMap(({ sites, kept }) => sites.map((site) => [site, kept] as const)),
          ),
        };
      },
    );
    if (last) return outcome;
    ({ graph } = outcome);
  }
}

/** λ from 0 to its full value over the first part of a phase. */
const ramp =
  (warmup = 0) =>
  (lambda: number): Schedule =>
    warmupStableDecay(lambda, { warmup, decay: 0 });

/** The part of a schedule between two moments, as a schedule of its own. */
const within = (schedule: Schedule, from: number, to: number): Schedule =>
  typeof schedule === "number" ? schedule : (progress) => schedule(from + progress * (to - from));

/** A method that trains under a penalty, by a name of its own. */
export const penalised = (
  name: string,
  settings: PenaltySettings,
  look: Pick<Method, "colour" | "dashed">,
): Method => ({
  name,
  strength: "lambda",
  ...look,
  async run(context, strengths) {
    const outcomes: Outcome[] = [];
    for (const lambda of strengths) outcomes.push(await trainPenalised(context, lambda, settings));
    return outcomes;
  },
});

/** D-Gating of a depth. */
export const gating = (depth: 2 | 3 | 4): Method =>
  penalised(`D-Gating, D = ${depth}`, { depth }, { colour: depth - 1 });

/** λ as it helps most (`gating-settings`): up from 0 over the first 30 % of the steps, down to 0 over the last 30 %. */
export const upAndDown = (lambda: number): LambdaSchedule => warmupStableDecay(lambda);

/** D-Gating with that λ. */
export const gatingUpAndDown = (depth: 2 | 3 | 4): Method =>
  penalised(
    `D-Gating, D = ${depth}, λ up and down`,
    { depth, anneal: upAndDown },
    { colour: depth - 1, dashed: true },
  );

/**
 * D-Gating with gates that learn ten times as fast as the weights: a group that the data do not hold dies within as many steps at a smaller λ, which
 * shrinks less what stays.
 */
export const gatingFast = (depth: 2 | 3 | 4): Method =>
  penalised(
    `D-Gating, D = ${depth}, gates ten times as fast`,
    { depth, gateSpeed: 10 },
    { colour: 4, dashed: true },
  );

/** The sub-gradient of the sparse penalty itself. */
export const direct = (depth: 2 | 3): Method =>
  penalised(`direct ${normName[depth]}`, { depth, penalty: "sparse" }, { colour: depth + 3 });

/** Its proximal operator after each step. */
export const proximal = (depth: 2 | 3): Method =>
  penalised(
    `proximal ${normName[depth]}`,
    { depth, penalty: "proximal" },
    { colour: depth + 3, dashed: true },
  );

const normName = { 2: "L2,1", 3: "L2,2/3" } as const;
