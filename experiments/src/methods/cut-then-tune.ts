import { findSites, type Graph, planFrom, type PlanCriterion, prune } from "@dgate/onnx";
import type { Outcome } from "../training/point.ts";
import { gradientImportance } from "./gradient-importance.ts";
import type { Method } from "./method.ts";
import { type MethodContext, trainPlainly } from "./training-run.ts";

/** Scores of the groups of a trained model. */
type Criterion = (context: MethodContext, dense: Graph) => Promise<PlanCriterion> | PlanCriterion;

/** Part of the steps that the dense model is trained for, where the cut model is trained on: half, each with a whole schedule. */
const untilCut = 0.5;

/** Trains the dense model, cuts it by a criterion, over all layers together, and trains it on. */
const cut = (
  name: string,
  colour: number,
  criterion: Criterion,
  { tune = true, dashed = false }: { readonly tune?: boolean; readonly dashed?: boolean } = {},
): Method => ({
  name,
  strength: "fraction",
  colour,
  dashed,
  async run(context, strengths) {
    const { task, seed } = context;
    const at = tune ? Math.round(untilCut * task.steps) : task.steps;
    const dense = await trainPlainly(context, await task.build(seed), { from: 0, to: at });
    const scores = await criterion(context, dense);
    const outcomes: Outcome[] = [];
    for (const keep of strengths) {
      const plan = planFrom(findSites(dense), {
        keep,
        scope: "global",
        sites: task.gate,
        criterion: scores,
        seed,
      });
      const { graph } = prune(dense, plan);
      outcomes.push({
        strength: keep,
        kept: Object.fromEntries(plan.axes.map(({ site, kept }) => [site, kept])),
        graph: tune ? await trainPlainly(context, graph, { from: at, to: task.steps }) : graph,
      });
    }
    return outcomes;
  },
});

/** Norms of the groups' own weights, divided by the layer's mean. */
export const magnitude: Method = cut("magnitude, then fine-tune", 7, () => "l2");

/** The same with all steps for the dense model. */
export const magnitudeAlone: Method = cut("magnitude, no fine-tuning", 7, () => "l2", {
  tune: false,
  dashed: true,
});

/** E|⟨w_j, ∂L/∂w_j⟩|, divided by the layer's mean: Molchanov et al. 2017, Michel et al. 2019. */
export const gradient: Method = cut("gradient, then fine-tune", 8, gradientImportance);

export const random: Method = cut("random, then fine-tune", 0, () => "random", { dashed: true });
