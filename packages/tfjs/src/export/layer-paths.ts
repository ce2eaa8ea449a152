import * as tf from "@tensorflow/tfjs";
import { layerPath } from "../gating/model-config.ts";

/** Whether a layer is itself a model (Sequential or functional). */
export function isModel(layer: tf.layers.Layer): layer is tf.LayersModel {
  return layer instanceof tf.LayersModel;
}

/**
 * Path of each layer of a model, nested models and their layers included: its name, after the names of the models that
 * hold it, joined by `/`. A layer that is shared appears once, under its first path.
 */
export function layerPaths(model: tf.LayersModel, prefix = ""): ReadonlyMap<tf.layers.Layer, string> {
  const paths = new Map<tf.layers.Layer, string>();
  for (const layer of model.layers) {
    const path = layerPath(prefix, layer.name);
    const inner = isModel(layer) ? layerPaths(layer, path) : [];
    for (const [key, value] of [[layer, path] as const, ...inner]) {
      if (!paths.has(key)) paths.set(key, value);
    }
  }
  return paths;
}
