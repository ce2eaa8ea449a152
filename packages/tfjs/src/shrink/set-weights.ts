import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { propertyName } from "../export/bindings.ts";
import { localName } from "../export/read-weights.ts";
import { leafLayers } from "../gating/model-config.ts";
import type { SmallWeights } from "./read-back.ts";

/**
 * Gives the layers of a rebuilt model their weights.
 * @throws DgateError `SHAPE` where a layer came out in another size than its weights
 */
export function setSmallWeights(model: tf.LayersModel, weights: SmallWeights): void {
  for (const { layer, path } of leafLayers(model)) {
    for (const variable of layer.weights) {
      const name = propertyName(localName(variable.originalName));
      const weight = weights.get(path)?.get(name);
      const shape = variable.shape.map(Number);
      if (!weight || weight.shape.join() !== shape.join()) {
        throw new DgateError(
          "SHAPE",
          `shrink: ${name} of layer "${path}" is [${shape.join(", ")}] in the small model, ` +
            `but pruning left ${weight ? `[${weight.shape.join(", ")}]` : "nothing"} of it.`,
        );
      }
      tf.tidy(() => void variable.write(tf.tensor(weight.values, shape)));
    }
  }
}
