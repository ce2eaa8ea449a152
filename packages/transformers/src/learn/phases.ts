import { DgateError } from "@dgate/core";
import { type Batch, foldGates, type Graph, insertGates, readGates } from "@dgate/onnx";
import { adam, openTrainer, type Trainer, type TrainerOptions, warmupCosine } from "@dgate/onnx/train";
import type { GatedBlock } from "../blocks/block.ts";
import { readerSites } from "../gates/reader-sites.ts";
import type { KeptGroups, Scores } from "../prune/choose-groups.ts";
import type { TrainedObjective } from "./objective.ts";
import { aliveAbove, type ResolvedTarget } from "./target.ts";
import { setName, withGates, withGatesOff } from "./turned-off.ts";

/** What both phases of a round share. */
export interface PhaseOptions {
  readonly objective: TrainedObjective;
  readonly blocks: readonly GatedBlock[];
  /** The dense model, prepared for the objective. */
  readonly teacher: Graph;
  readonly train: "gates" | "groups" | "all";
  readonly depth: number;
  readonly learningRate: number;
  readonly gateRate: number;
  readonly engine: Pick<TrainerOptions, "ort" | "provider" | "threads">;
  /** Batches without end. */
  readonly batches: Iterator<Batch>;
  readonly signal: AbortSignal | undefined;
  readonly onStep: (step: {
    readonly loss: number;
    readonly lambda: number;
    readonly active?: number;
  }) => void | Promise<void>;
}

/** What gating has come to. */
export interface Gated {
  /** How much is left of each group: |Πγ| of frozen weights, else ‖w_j‖ against its norm at the start. */
  readonly scores: Scores;
  /** λ when gating ended. */
  readonly lambda: number;
  /** The model with the weights that were learned, gates of `survivors` set back to where they began. */
  fold(survivors: KeptGroups): Graph;
}

/** How λ runs while gating. */
export interface GatingOptions {
  readonly steps: number;
  readonly lambda: number;
  /** Without it λ stays as it is, for all steps. */
  readonly target: ResolvedTarget | undefined;
  /** Fraction, in the target's measure, at which gating ends. */
  readonly goal: number;
  /** Groups that earlier rounds have left. */
  readonly left: KeptGroups;
}

/**
 * λ grows by this factor from one look at the groups to the next while more are alive than should be, so that they die one after the other, each λ
 * having had its time.
 */
const lambdaGrowth = 1.25;

/**
 * Part of the way from everything to the goal that should be left after a part of the steps. At an even pace, so that those that stay have the time to
 * take over from those that have gone before the next go: more deaths at first choose by gates that have not adapted yet.
 */
const shouldBeLeft = (progress: number): number => 1 - progress;

/** Steps between two looks at the groups. */
const lookEvery = 5;

/**
 * Trains with the penalty of D-Gating. With a target λ grows until no more groups are alive than it asks for.
 *
 * @throws DgateError as `Trainer.fit`
 */
export async function gatePhase(model: Graph, options: PhaseOptions, gating: GatingOptions): Promise<Gated> {
  const { blocks, train, depth, learningRate, gateRate } = options;
  const { steps, target, goal, left } = gating;
  let { lambda } = gating;
  const initial = train === "gates" ? "ones" : "balanced";
  const trainer = await openTrainer(gatedModel(model, options, { depth, initial, kept: left }), {
    ...trainerOptions(options),
    lambda: () => lambda,
    learningRate,
    gateRate,
    ...(target && target.weights.size > 0 && { groupWeights: Object.fromEntries(target.weights) }),
  });
  try {
    const before = await trainer.gated();
    const start = await strengths(trainer, blocks, train);
    let now = start;
    let done = 0;
    for (; done < steps; done++) {
      if (target && done % lookEvery === 0 && done > 0) {
        now = await strengths(trainer, blocks, train);
        const alive = target.fraction(aliveIn(relative(now, start, left)));
        if (alive <= goal) break;
        const from = target.fraction(left);
        if (alive > goal + (from - goal) * shouldBeLeft(done / steps)) lambda *= lambdaGrowth;
      }
      const { losses } = await fitStep(trainer, options, steps);
      const active = target ? { active: target.fraction(aliveIn(relative(now, start, left))) } : {};
      await options.onStep({ loss: losses[0]!, lambda, ...active });
    }
    const scores = relative(await strengths(trainer, blocks, train), start, left);
    const learned = await trainer.gated();
    const fold = (survivors: KeptGroups): Graph =>
      withWeightsOf(foldGates(restored(learned, before, blocks, survivors)).graph, model);
    return { scores, lambda, fold };
  } finally {
    await trainer.dispose();
  }
}

/**
 * Trains what stays, without penalty; gates of zero hold the rest where it is: the weights as before, or where they are frozen the gates of the survivors.
 *
 * @returns the model with what was learned, and the gates where the weights are frozen
 */
export async function finishPhase(
  model: Graph,
  options: PhaseOptions,
  { steps, kept }: { readonly steps: number; readonly kept: KeptGroups },
): Promise<{ readonly graph: Graph; readonly gates: Scores }> {
  const { blocks, train, learningRate, gateRate } = options;
  const frozen = train === "gates";
  const ones = new Map(blocks.map(({ name, groups }) => [name, new Float64Array(groups).fill(1)]));
  if (steps === 0) return { graph: model, gates: ones };
  const trainer = await openTrainer(gatedModel(model, options, { depth: 2, initial: "ones", kept }), {
    ...trainerOptions(options),
    lambda: 0,
    learningRate: warmupCosine(learningRate),
    gateRate: frozen ? warmupCosine(gateRate / 2) : 0,
  });
  try {
    for (let done = 0; done < steps; done++) {
      const { losses } = await fitStep(trainer, options, steps);
      await options.onStep({ loss: losses[0]!, lambda: 0 });
    }
    const gated = await trainer.gated();
    if (frozen) return { graph: model, gates: products(gated, blocks) };
    return { graph: withWeightsOf(foldGates(gated).graph, model), gates: ones };
  } finally {
    await trainer.dispose();
  }
}

async function fitStep(trainer: Trainer, { batches, signal }: PhaseOptions, steps: number) {
  const next = batches.next();
  if (next.done) throw new DgateError("DATA", "learn: there are no more batches.");
  return trainer.fit([next.value], { steps, ...(signal && { signal }) });
}

function trainerOptions({ objective, teacher, train, engine }: PhaseOptions): TrainerOptions {
  return { ...engine, loss: objective.loss, teacher, train, optimizer: adam(), clipNorm: 1 };
}

/** How gates begin. */
interface GatingStart {
  readonly depth: number;
  readonly initial: "ones" | "balanced";
  /** Groups that are on: gates of others begin at zero. */
  readonly kept: KeptGroups;
}

/**
 * The model with gates and with the outputs of its objective. It is gated first: what an objective adds makes another model, whose sites would be
 * others.
 *
 * @param depth of the penalty: where weights are frozen all D factors are gates
 */
function gatedModel(
  model: Graph,
  { objective, blocks, train }: PhaseOptions,
  { depth, initial, kept }: GatingStart,
): Graph {
  if (train === "gates") {
    const { sites, roles } = readerSites(blocks);
    const names = sites.map(({ name }) => name);
    return objective.prepare(insertGates(model, sites, { depth: depth + 1, initial, roles, sites: names }));
  }
  const sites = blocks.flatMap((block) => block.sites);
  const gated = insertGates(model, sites, {
    depth,
    initial,
    roles: { heads: ["consumer"], neurons: ["consumer"], layers: ["parameter"] },
    sites: sites.map(({ name }) => name),
  });
  return objective.prepare(withGatesOff(gated, blocks, kept));
}

/** How strong each group is. */
async function strengths(
  trainer: Trainer,
  blocks: readonly GatedBlock[],
  train: PhaseOptions["train"],
): Promise<Scores> {
  if (train === "gates") return products(await trainer.gated(), blocks);
  const norms = new Map((await trainer.norms()).map((each) => [each.name, each.norms]));
  return new Map(blocks.map((block) => [block.name, norms.get(setName(norms, block))!]));
}

/** Πγ of every block of a graph whose gates scale what groups give. */
function products(gated: Graph, blocks: readonly GatedBlock[]): Scores {
  const gates = readGates(gated);
  return new Map(blocks.map(({ name }) => [name, gates.get(name)!.product]));
}

/** What is left of each group against the start: nothing of one that was turned off before. */
function relative(now: Scores, start: Scores, left: KeptGroups): Scores {
  return new Map(
    [...now].map(([name, values]) => {
      const first = start.get(name)!;
      const open = new Set(left.get(name) ?? values.keys());
      return [
        name,
        values.map((value, group) =>
          open.has(group) && first[group] !== 0 ? Math.abs(value / first[group]!) : 0,
        ),
      ];
    }),
  );
}

/** Groups of which more than this part is left. */
function aliveIn(scores: Scores, above: number = aliveAbove): KeptGroups {
  return new Map(
    [...scores].map(([name, values]) => [name, [...values.keys()].filter((group) => values[group]! > above)]),
  );
}

/** The learned model with the gates of survivors as they began: gating has chosen them, and their shrinkage is not kept, as one refits after the lasso. */
function restored(
  learned: Graph,
  before: Graph,
  blocks: readonly GatedBlock[],
  survivors: KeptGroups,
): Graph {
  const first = readGates(before);
  return withGates(learned, blocks, ({ block, set, d, values }) => {
    const groups = survivors.get(block.name) ?? values.keys();
    for (const group of groups) values[group] = first.get(set)!.gates[d]![group]!;
  });
}

/** A graph with the weights that another one of the same names has, and the outputs of its own. */
function withWeightsOf(trained: Graph, model: Graph): Graph {
  const copy = model.clone();
  for (const { name, data } of trained.initializers) {
    const own = copy.value(name);
    if (own?.data && data && own.data.shape.join() === data.shape.join()) own.data = data;
  }
  return copy;
}
