import type { TrainerOptions } from "@dgate/onnx/train";
import type { Outcome } from "../training/point.ts";
import type { Method } from "./method.ts";
import { type MethodContext, trainPhase, trainPlainly } from "./training-run.ts";

/** How a penalty is used. */
export interface PenaltySettings
  extends Pick<TrainerOptions, "depth" | "penalty" | "initial" | "groupWeights" | "gateRate" | "optimizer"> {
  /** λ over the progress of the phase, of the given one. */
  readonly anneal?: (lambda: number) => (progress: number) => number;
  /** Part of the steps that the pruned model is trained for, without a penalty. */
  readonly tune?: number;
}

/** Trains under a penalty on the groups, then removes the dead ones; nothing is trained after that unless `tune` says so. */
export async function trainPenalised(
  context: MethodContext,
  lambda: number,
  { anneal, tune = 0, ...options }: PenaltySettings,
): Promise<Outcome> {
  const { task, seed } = context;
  const end = Math.round((1 - tune) * task.steps);
  const found = await trainPhase(
    context,
    await task.build(seed),
    { from: 0, to: end },
    { gate: task.gate, lambda: anneal?.(lambda) ?? lambda, ...options },
    async (trainer) => {
      const { graph: folded } = await trainer.fold();
      const { graph, decisions } = await trainer.prune();
      return {
        graph,
        gatedScore: await task.score(folded),
        near: decisions.reduce((sum, { near }) => sum + near, 0),
        kept: Object.fromEntries(
          decisions.flatMap(({ sites, kept }) => sites.map((site) => [site, kept] as const)),
        ),
      };
    },
  );
  const graph =
    tune === 0 ? found.graph : await trainPlainly(context, found.graph, { from: end, to: task.steps });
  return { strength: lambda, ...found, graph };
}

const penalised = (name: string, colour: number, dashed: boolean, settings: PenaltySettings): Method => ({
  name,
  strength: "lambda",
  colour,
  dashed,
  async run(context, strengths) {
    const outcomes: Outcome[] = [];
    for (const lambda of strengths) outcomes.push(await trainPenalised(context, lambda, settings));
    return outcomes;
  },
});

/** D-Gating of a depth. */
export const gating = (depth: 2 | 3 | 4, settings: Omit<PenaltySettings, "depth" | "penalty"> = {}): Method =>
  penalised(`D-Gating, D = ${depth}`, depth - 1, false, { depth, ...settings });

/** D-Gating for three quarters of the steps, then training of what is left, without gates. */
export const gatingThenTune = (depth: 2 | 3 | 4): Method =>
  penalised(`D-Gating, D = ${depth}, then fine-tune`, depth - 1, true, { depth, tune: 0.25 });

/** The sub-gradient of the sparse penalty itself. */
export const direct = (depth: 2 | 3): Method =>
  penalised(`direct ${normName[depth]}`, depth === 2 ? 5 : 6, false, { depth, penalty: "sparse" });

/** Its proximal operator after each step. */
export const proximal = (depth: 2 | 3): Method =>
  penalised(`proximal ${normName[depth]}`, depth === 2 ? 5 : 6, true, { depth, penalty: "proximal" });

const normName = { 2: "L2,1", 3: "L2,2/3" } as const;
