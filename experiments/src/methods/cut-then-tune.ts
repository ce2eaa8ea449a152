import { findSites, type Graph, planFrom, type PlanCriterion, prune } from "@dgate/onnx";
import type { Outcome } from "../training/point.ts";
import { gradientImportance } from "./gradient-importance.ts";
import type { Method } from "./method.ts";
import { type MethodContext, scaled, trainPlainly } from "./training-run.ts";

/** Scores of the groups of a trained model. */
type Criterion = (context: MethodContext, dense: Graph) => Promise<PlanCriterion> | PlanCriterion;

/** How a cut model is trained on. */
interface Tuning {
  /** Part of the steps, the last ones, with a whole schedule of their own; 0 for none. */
  readonly tune: number;
  /** The rate of that training, of the task's. */
  readonly tuneRate: number;
}

const halfAndHalf: Tuning = { tune: 0.5, tuneRate: 1 };

/** Trains the dense model, cuts it by a criterion, over all layers together, and trains it on. */
const cut = (
  name: string,
  colour: number,
  criterion: Criterion,
  { tune, tuneRate }: Tuning,
  dashed = false,
): Method => ({
  name,
  strength: "fraction",
  colour,
  dashed,
  async run(context, strengths) {
    const { task, seed } = context;
    const at = Math.round((1 - tune) * task.steps);
    const phase = { from: at, to: task.steps, learningRate: scaled(task.learningRate, tuneRate) };
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
        graph: tune > 0 ? await trainPlainly(context, graph, phase) : graph,
      });
    }
    return outcomes;
  },
});

/** Norms of the groups' own weights, divided by the layer's mean. */
export const magnitude: Method = cut("magnitude, then fine-tune", 7, () => "l2", halfAndHalf);

/** The same with all steps for the dense model. */
export const magnitudeAlone: Method = cut(
  "magnitude, no fine-tuning",
  7,
  () => "l2",
  { tune: 0, tuneRate: 0 },
  true,
);

/** E|⟨w_j, ∂L/∂w_j⟩|, divided by the layer's mean: Molchanov et al. 2017, Michel et al. 2019. */
export const gradient: Method = cut("gradient, then fine-tune", 8, gradientImportance, halfAndHalf);

/** Groups that are drawn. */
export const random: Method = cut("random, then fine-tune", 0, () => "random", halfAndHalf, true);
