import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";

/** A layer in the configuration of a model, as `getConfig` writes it. */
export interface LayerEntry {
  readonly name?: string;
  readonly className: string;
  readonly config: { name: string; trainable?: boolean; [key: string]: unknown };
  readonly inboundNodes?: readonly (readonly InboundTensor[])[];
}

type InboundTensor = readonly [layer: string, node: number, tensor: number, kwargs?: unknown];

/** Configuration of a Sequential (layers in a chain) or functional model (layers with inbound nodes). */
export interface ModelConfig {
  name: string;
  layers: LayerEntry[];
  outputLayers?: readonly InboundTensor[];
}

/** Own copy of a model's configuration; throws `SHAPE` for a model whose input shape is not known yet. */
export function configOf(model: tf.LayersModel): ModelConfig {
  if (!model.inputs?.length) {
    throw new DgateError(
      "SHAPE",
      `model "${model.name}" has no weights yet: give its first layer an inputShape, or build it.`,
    );
  }
  // A JSON round trip, because fromConfig edits what it reads; getConfig promises JSON but is typed loosely.
  const config = JSON.parse(JSON.stringify(model.getConfig())) as ModelConfig;
  const layers = new Map(leafLayers(model).map(({ layer, path }) => [path, layer]));
  return editLayers(config, (entry, path) => {
    const layer = layers.get(path);
    return layer ? { ...entry, config: { ...entry.config, ...forgotten(layer) } } : entry;
  });
}

/** The layers of a configuration that are no models themselves, with their paths, in nested models too. */
export function leafEntries(
  config: ModelConfig,
  prefix = "",
): { readonly entry: LayerEntry; readonly path: string }[] {
  return config.layers.flatMap((entry) => {
    const path = layerPath(prefix, entry.config.name);
    const inner = nestedConfig(entry);
    return inner ? leafEntries(inner, path) : [{ entry, path }];
  });
}

/** A layer's configuration, with what tfjs 4.22 leaves out or gets wrong. */
export function layerConfigOf(layer: tf.layers.Layer): tf.serialization.ConfigDict {
  return { ...layer.getConfig(), ...forgotten(layer) };
}

/**
 * tfjs 4.22 does not write that a nested model is frozen (`nested.trainable = false` reaches the weights of its layers
 * only), nor a SeparableConv2D's depthMultiplier, and writes a DepthwiseConv2D's regularizer as its constraint: a layer
 * made from such a configuration trains what was frozen, has other weights, or none at all.
 */
function forgotten(layer: tf.layers.Layer): tf.serialization.ConfigDict {
  const frozen = layer.weights.length > 0 && layer.trainableWeights.length === 0;
  return { ...(frozen ? { trainable: false } : {}), ...forgottenSizes(layer) };
}

function forgottenSizes(layer: tf.layers.Layer): tf.serialization.ConfigDict {
  // Both properties are private in the typings.
  const { depthMultiplier, depthwiseConstraint } = layer as unknown as {
    depthMultiplier?: number;
    depthwiseConstraint?: tf.serialization.Serializable | null;
  };
  const className = layer.getClassName();
  if (className === "SeparableConv2D") return { depthMultiplier: depthMultiplier ?? 1 };
  if (className !== "DepthwiseConv2D") return {};
  const constraint = depthwiseConstraint && {
    className: depthwiseConstraint.getClassName(),
    config: depthwiseConstraint.getConfig(),
  };
  return { depthwiseConstraint: constraint ?? null };
}

/** A model of the same kind (Sequential or functional) from a configuration, with weights yet to be set. */
export function modelFrom(config: ModelConfig, like: tf.LayersModel): tf.LayersModel {
  // The typings want ConfigDict, an index signature that ModelConfig's known keys do not have.
  const dict = config as unknown as tf.serialization.ConfigDict;
  if (!(like instanceof tf.Sequential))
    return tf.LayersModel.fromConfig(tf.LayersModel, dict) as tf.LayersModel;
  const model = tf.Sequential.fromConfig(tf.Sequential, dict) as tf.Sequential;
  // Until it is built, a Sequential knows nothing of the losses of its layers.
  model.build();
  return model;
}

/** The configuration inside a layer entry that is itself a model. */
export function nestedConfig(entry: LayerEntry): ModelConfig | undefined {
  return Array.isArray(entry.config["layers"]) ? (entry.config as unknown as ModelConfig) : undefined;
}

/** Name of a layer as the whole model sees it: `outer/inner` inside a nested model. */
export function layerPath(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Replaces layer entries, in nested models too; `edit` gets each layer's path and returns its replacement. */
export function editLayers(
  config: ModelConfig,
  edit: (entry: LayerEntry, path: string) => LayerEntry,
  prefix = "",
): ModelConfig {
  const layers = config.layers.map((entry) => {
    const path = layerPath(prefix, entry.config.name);
    const inner = nestedConfig(entry);
    if (!inner) return edit(entry, path);
    return { ...entry, config: editLayers(inner, edit, path) as unknown as LayerEntry["config"] };
  });
  return { ...config, layers };
}

/** Producers of each layer's inputs, by layer name, within one (not nested) model. One list per call of a shared layer. */
export function inboundLayers(config: ModelConfig): Map<string, readonly (readonly string[])[]> {
  const chain = config.layers.map((entry, i): readonly (readonly string[])[] => {
    const previous = config.layers[i - 1];
    return previous ? [[previous.config.name]] : [[]];
  });
  return new Map(
    config.layers.map((entry, i) => [
      entry.config.name,
      config.outputLayers
        ? (entry.inboundNodes ?? []).map((node) => node.map(([layer]) => layer))
        : chain[i]!,
    ]),
  );
}

/** Names of the layers whose outputs are the outputs of a (not nested) model. */
export function outputNames(config: ModelConfig): readonly string[] {
  if (config.outputLayers) return config.outputLayers.map(([layer]) => layer);
  const last = config.layers.at(-1);
  return last ? [last.config.name] : [];
}

/** Layers that are no models themselves, with their paths, in nested models too. */
export function leafLayers(
  model: tf.LayersModel,
  prefix = "",
): { readonly layer: tf.layers.Layer; readonly path: string }[] {
  return model.layers.flatMap((layer) => {
    const path = layerPath(prefix, layer.name);
    return layer instanceof tf.LayersModel ? leafLayers(layer, path) : [{ layer, path }];
  });
}
