import * as tf from "@tensorflow/tfjs";
import { leafLayers } from "../gating/model-config.ts";

/** Whether a layer is itself a model (Sequential or functional). */
export function isModel(layer: tf.layers.Layer): layer is tf.LayersModel {
  return layer instanceof tf.LayersModel;
}

/**
 * Path of each layer that is not a model: its name, after the names of the models that hold it, joined by `/`. A layer
 * that is shared appears once, under its first path.
 */
export function layerPaths(model: tf.LayersModel): ReadonlyMap<tf.layers.Layer, string> {
  const paths = new Map<tf.layers.Layer, string>();
  for (const { layer, path } of leafLayers(model)) {
    if (!paths.has(layer)) paths.set(layer, path);
  }
  return paths;
}
