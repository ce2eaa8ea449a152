import type { Graph } from "@dgate/onnx";
import type { KeptGroups, Scores } from "../prune/choose-groups.ts";
import { aliveGroups } from "./alive-groups.ts";
import { finishPhase, type Gated, gatePhase, type PhaseOptions } from "./phases.ts";
import type { Progress } from "./progress.ts";
import type { ResolvedTarget } from "./target.ts";
import { turnedOff } from "./turned-off.ts";

/** How the steps are spent. */
export interface RoundOptions {
  /** Groups that are learned; others are off already and stay so. */
  readonly left: KeptGroups;
  readonly rounds: number;
  /** Part of the steps that trains what stays. */
  readonly finish: number;
  readonly lambda: number;
  readonly target: ResolvedTarget | undefined;
  /** Bounds of what dies without a target: see `PruneOptions`. */
  readonly even: boolean;
  readonly minimum: number;
  /** Scores that are given: nothing is gated then. */
  readonly scores: Scores | undefined;
  readonly progress: Progress;
  /** The fraction to choose for at last, where it has to be measured first: see `fractionForSpeedup`. */
  readonly measureGoal: ((scores: Scores, model: Graph) => Promise<number>) | undefined;
  /** Scores a model on the way. */
  readonly evaluate: (model: Graph) => Promise<void>;
}

/** What all rounds have come to. */
export interface Learned {
  /** The model with what its weights have learned, groups that go turned off. */
  readonly graph: Graph;
  /** Gates of the groups: zero of those that go. */
  readonly gates: Scores;
  readonly kept: KeptGroups;
  /** What the groups were ranked by, in the last round. */
  readonly scores: Scores;
  readonly lambda: number;
}

/** Without a target: a gate that is left with less than this part of its value is dead. */
const deadBelow = 1e-2;

/**
 * Gates, turns off, trains what stays; several times if asked for, each time with a part of the way to the target, in equal ratios.
 *
 * @throws DgateError `OPTION` for a target that cannot be reached, and as training
 */
export async function inRounds(model: Graph, phase: PhaseOptions, options: RoundOptions): Promise<Learned> {
  const { rounds, finish, target, progress } = options;
  let learned: Learned = {
    graph: model,
    gates: new Map(),
    kept: options.left,
    scores: new Map(),
    lambda: options.lambda,
  };
  for (let round = 1; round <= rounds; round++) {
    const last = round === rounds;
    const goal = target ? target.goal ** (round / rounds) : 0;
    progress.enter("gate", round);
    const steps = Math.max(1, Math.floor((progress.steps * (1 - finish)) / rounds));
    const before = learned;
    const gated: Gated = options.scores
      ? { scores: closed(options.scores, before.kept), lambda: 0, fold: () => before.graph }
      : await gatePhase(before.graph, phase, {
          steps,
          lambda: options.lambda,
          target,
          goal,
          left: before.kept,
        });
    const fraction =
      last && options.measureGoal ? await options.measureGoal(gated.scores, learned.graph) : goal;
    const chosen = target
      ? target.choose(gated.scores, fraction)
      : aliveGroups(phase.blocks, gated.scores, deadBelow, options);
    const kept = within(chosen, before.kept);
    const folded = phase.train === "gates" ? learned.graph : gated.fold(kept);
    const off = turnedOff(folded, phase.blocks, kept, phase.train);
    await options.evaluate(off);
    progress.enter("finish", round);
    const planned = Math.floor((progress.steps * round) / rounds);
    const finished = await finishPhase(off, phase, {
      steps: Math.max(0, planned - progress.done),
      kept,
    });
    const gates = closed(finished.gates, kept);
    learned = { graph: finished.graph, gates, kept, scores: gated.scores, lambda: gated.lambda };
  }
  return learned;
}

/** Blocks that a target says nothing of stay as they are, and what is off stays off. */
const within = (kept: KeptGroups, left: KeptGroups): KeptGroups =>
  new Map(
    [...left].map(([name, groups]) => {
      const own = new Set(kept.get(name) ?? groups);
      return [name, groups.filter((group) => own.has(group))];
    }),
  );

/** Scores or gates, with zeros for groups that are off. */
const closed = (values: Scores, left: KeptGroups): Scores =>
  new Map(
    [...values].map(([name, all]) => {
      const own = new Set(left.get(name) ?? all.keys());
      return [name, all.map((value, group) => (own.has(group) ? value : 0))];
    }),
  );
