import { DgateError } from "@dgate/core";
import type { BackendName } from "@dgate/tfjs";
import type { TrainProvider } from "@dgate/onnx/train";
import type { Setup } from "../experiment.ts";
import type { Competitor, CostEngine } from "./competitor.ts";
import { costNetwork, type NetworkName } from "./networks.ts";
import { onnxEngine } from "./onnx-engine.ts";
import { pairedRatio, type Quartiles, quartiles, takeTurns } from "./take-turns.ts";
import { tfjsEngine } from "./tfjs-engine.ts";

export interface StepSetup extends Setup {
  readonly engine: "tfjs" | "onnxruntime";
  readonly backend: BackendName | TrainProvider;
  readonly network: NetworkName;
  /** A tiny network of its kind. */
  readonly tiny: boolean;
  /** Few steps. */
  readonly quick: boolean;
}

/** What the steps of one depth came to; depth 1 is plain training. */
export interface DepthCost {
  readonly depth: number;
  readonly parameters: number;
  readonly optimizerBytes: number;
  readonly peakBytes: number;
  /** What the process grew by while this one was opened and took its first step. */
  readonly grownBytes: number;
  readonly firstLoss: number;
  readonly lastLoss: number;
  readonly rounds: number;
  readonly medianMs: number;
  /** Of a plain step of the same round. */
  readonly ratio: Quartiles;
}

/** Or why there is nothing to measure. */
export type StepResult =
  | { readonly absent: string }
  | { readonly device: string; readonly tiny: boolean; readonly depths: readonly DepthCost[] };

/** Plain training first: the others are held against it. */
const depths = [1, 2, 3, 4];

/** Trains plainly and at every depth, in turns. */
export async function measureSteps(setup: StepSetup): Promise<StepResult> {
  let engine: CostEngine;
  let first: Opened;
  try {
    engine = await openEngine(setup);
    // It has the runtime loaded, so that the others are not charged with that. Providers of onnxruntime that are not there say so only now.
    first = await openCompetitor(engine, 1);
  } catch (error) {
    if (error instanceof DgateError && ["UNSUPPORTED", "MISSING_PACKAGE"].includes(error.code))
      return { absent: error.message };
    throw error;
  }
  const opened: Opened[] = [];
  try {
    for (const depth of depths) opened.push(await openCompetitor(engine, depth));
    return { device: engine.device, tiny: setup.tiny, depths: await race(opened, setup) };
  } finally {
    await Promise.all([first, ...opened].map(({ competitor }) => competitor.dispose()));
  }
}

function openEngine({ engine, backend, network, tiny, seed }: StepSetup): Promise<CostEngine> {
  const chosen = costNetwork(network, tiny);
  // Setups pair engines with backends of theirs.
  return engine === "tfjs"
    ? tfjsEngine(backend, chosen, seed)
    : onnxEngine(backend as TrainProvider, chosen, seed);
}

interface Opened {
  readonly competitor: Competitor;
  readonly firstLoss: number;
  readonly grownBytes: number;
}

async function openCompetitor(engine: CostEngine, depth: number): Promise<Opened> {
  const before = process.memoryUsage.rss();
  const competitor = await engine.open(depth);
  const firstLoss = await competitor.firstLoss();
  return { competitor, firstLoss, grownBytes: process.memoryUsage.rss() - before };
}

async function race(opened: readonly Opened[], { quick }: StepSetup): Promise<DepthCost[]> {
  const losses = opened.map(({ firstLoss }) => firstLoss);
  const steps = opened.map(({ competitor }, i) => async () => {
    losses[i] = await competitor.step();
  });
  const times = await takeTurns(
    steps,
    quick
      ? { warmUp: 1, atLeast: 3, atMost: 3, forMs: 0 }
      : { warmUp: 2, atLeast: 3, atMost: 200, forMs: 6000 },
  );
  const costs: DepthCost[] = [];
  for (const [i, { competitor, firstLoss, grownBytes }] of opened.entries()) {
    costs.push({
      depth: depths[i]!,
      parameters: competitor.parameters,
      optimizerBytes: competitor.optimizerBytes(),
      peakBytes: await competitor.peakBytes(),
      grownBytes,
      firstLoss,
      lastLoss: losses[i]!,
      rounds: times[i]!.length,
      medianMs: quartiles(times[i]!)[1],
      ratio: pairedRatio(times[i]!, times[0]!),
    });
  }
  return costs;
}
