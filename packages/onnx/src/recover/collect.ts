import { randomGenerator } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import type { KeptInput } from "../prune/prune.ts";
import type { RunnerOptions } from "../runtime/open-runner.ts";
import { type Batches, keptFeatures } from "./batches.ts";
import type { Layer } from "./find-layers.ts";
import { LayerEquations } from "./layer-equations.ts";
import { readWeights, sizesOf } from "./layer-weights.ts";
import { NormalEquations } from "./normal-equations.ts";
import { openProbe, type Probe } from "./probe.ts";

/** The models that are compared layer by layer, and what they are run on. */
export interface Collection {
  readonly dense: Graph;
  /** The pruned model with the layers fitted so far. */
  readonly work: Graph;
  /** What the pruned model's inputs lost. */
  readonly inputs: readonly KeptInput[];
  /** Calibration inputs, and held-out ones if there are any. */
  readonly sets: readonly Batches[];
  /** At most this many rows of a batch are taken for a layer. */
  readonly maxRows: number;
  readonly seed: number;
  readonly runtime: RunnerOptions;
}

/** Normal equations that are kept at once. */
const byteBudget = 2 ** 30;

/** Layers that can be collected in one pass: of one level, as many as fit the memory together; level by level. */
export function passesOf(layers: readonly Layer[], sets: number): Layer[][] {
  const passes: Layer[][] = [];
  let bytes = 0;
  for (const layer of layers.toSorted((a, b) => a.level - b.level)) {
    const { groups, depth, outputs } = sizesOf(layer);
    const own = sets * groups * NormalEquations.bytes(depth + 1, outputs);
    const last = passes.at(-1);
    if (last?.[0]?.level === layer.level && bytes + own <= byteBudget) {
      last.push(layer);
      bytes += own;
    } else {
      passes.push([layer]);
      bytes = own;
    }
  }
  return passes;
}

/**
 * Runs both models on every batch and sums up the least-squares problems of layers that do not see each other.
 *
 * @param onBatch called with the number of batches done
 * @returns for each set of inputs, the problem of each layer
 */
export async function collect(
  collection: Collection,
  layers: readonly Layer[],
  onBatch: (batches: number) => void,
): Promise<LayerEquations[][]> {
  const { dense, work, sets, runtime } = collection;
  const targets = layers.map(({ target }) => target);
  const inputs = layers.map(({ input }) => input);
  const densely = await openProbe(dense, targets, runtime);
  try {
    const pruned = await openProbe(work, inputs, runtime);
    try {
      const equations: LayerEquations[][] = [];
      let batches = 0;
      for (const set of sets) {
        equations.push(
          await sumUp(collection, { dense: densely, pruned }, set, layers, () => onBatch(++batches)),
        );
      }
      return equations;
    } finally {
      await pruned.dispose();
    }
  } finally {
    await densely.dispose();
  }
}

async function sumUp(
  { dense, inputs, maxRows, seed }: Collection,
  probes: { readonly dense: Probe; readonly pruned: Probe },
  set: Batches,
  layers: readonly Layer[],
  onBatch: () => void,
): Promise<LayerEquations[]> {
  const equations = layers.map((layer) => new LayerEquations(layer, readWeights(layer)));
  await set.each(async (batch, index) => {
    const y = await probes.dense.run(batch);
    const x = await probes.pruned.run(keptFeatures(batch, dense, inputs));
    for (const [i, { input, target }] of layers.entries()) {
      // Each batch and layer has its own draw, whatever was drawn before.
      const random = randomGenerator(seed + 7919 * index + 104_729 * i);
      equations[i]!.add(x.get(input.name)!, y.get(target.name)!, maxRows, random);
    }
    onBatch();
  });
  for (const each of equations) each.finish();
  return equations;
}
