import type { ModelInfo } from "@dgate/onnx";
import * as tf from "@tensorflow/tfjs";

/** The version in package.json, put here by the build (tsup.config.ts), for a browser cannot read that file. */
declare const DGATE_TFJS_VERSION: string | undefined;

/** Version of this package; 0.0.0 where its sources run unbuilt. */
export const packageVersion: string = typeof DGATE_TFJS_VERSION === "string" ? DGATE_TFJS_VERSION : "0.0.0";

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
