import type { ModelInfo } from "@dgate/onnx";
import * as tf from "@tensorflow/tfjs";

/** Version of this package, as its package.json says (a test compares them: a browser cannot read that file). */
export const packageVersion = "0.0.0";

/** What the exported file says about its origin. IR version 8 goes with opset 17. */
export function modelInfo(modelName: string): ModelInfo {
  return {
    irVersion: 8,
    producerName: "dgate",
    producerVersion: packageVersion,
    metadata: new Map([
      ["model", modelName],
      ["tfjs", tf.version["tfjs"] ?? ""],
      ["dgate", packageVersion],
    ]),
    opaque: [],
  };
}
