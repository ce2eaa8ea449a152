import { randomGenerator } from "@dgate/core";
import type * as tf from "@tensorflow/tfjs";
import { leafLayers } from "../gating/model-config.ts";
import { epochSeed } from "./batches.ts";

/**
 * Makes a model's Dropout layers reproducible: the function returned, called with the number of a step, gives each of
 * them a seed of its own for that step. (A constant seed, as tfjs offers, would drop the same units in every step.)
 * Layers with a seed of the user's keep it.
 */
export function seedDropout(model: tf.LayersModel, seed: number): (step: number) => void {
  // `seed` is private in the typings of Dropout.
  const dropouts = leafLayers(model)
    .map(({ layer }) => layer as unknown as { seed?: number; getClassName(): string })
    .filter((layer) => ["Dropout", "SpatialDropout1D"].includes(layer.getClassName()));
  const free = dropouts.filter((layer) => layer.seed === undefined || seeded.has(layer));
  for (const layer of free) seeded.add(layer);
  return (step) => {
    if (free.length === 0) return;
    const random = randomGenerator(epochSeed(seed, step));
    // Never 0, which tfjs takes for no seed.
    for (const layer of free) layer.seed = 1 + random.integer(2 ** 31);
  };
}

/** Layers whose seed comes from here. */
const seeded = new WeakSet<object>();
