import type * as tf from "@tensorflow/tfjs";
import { DgateError } from "@dgate/core";
import { leafLayers } from "../gating/model-config.ts";
import { describeLayer } from "./layer-config.ts";

/** Values of a weight, read once from the backend. */
interface WeightValues {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Weights of each layer by the name that tfjs gives them within the layer: `kernel`, `bias`, `moving_mean`, … */
export type LayerWeights = ReadonlyMap<tf.layers.Layer, ReadonlyMap<string, WeightValues>>;

/**
 * Reads all weights of a model, nested models included.
 * @throws DgateError `DATA` for a weight that is not finite: an ONNX file with NaN in it fails far from its cause.
 */
export async function readWeights(model: tf.LayersModel): Promise<LayerWeights> {
  const weights = new Map<tf.layers.Layer, Map<string, WeightValues>>();
  for (const layer of new Set(leafLayers(model).map(({ layer: leaf }) => leaf))) {
    const named = new Map<string, WeightValues>();
    for (const variable of layer.weights) {
      const name = localName(variable.originalName);
      // `data()` of a float32 variable is a Float32Array; the copy detaches it from later training.
      const values = Float32Array.from(await variable.read().data());
      if (!values.every(Number.isFinite)) {
        throw new DgateError(
          "DATA",
          `${describeLayer(layer)}: weight "${name}" holds NaN or Infinity; ` +
            `did training diverge? Export a checkpoint from before.`,
        );
      }
      named.set(name, { shape: variable.shape.map(Number), values });
    }
    weights.set(layer, named);
  }
  return weights;
}

/** `dense_1/kernel` → `kernel`. */
export function localName(variableName: string): string {
  return variableName.slice(variableName.lastIndexOf("/") + 1);
}
