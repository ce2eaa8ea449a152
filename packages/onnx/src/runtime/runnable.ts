import { Graph } from "../graph/graph.ts";
import { checkGraph } from "../graph/check-graph.ts";
import { finishModel, maxModelBytes, modelMessage } from "../io/write.ts";

/** A file beside a model, in memory: onnxruntime takes it in place of one of the disk. */
export interface ExternalContent {
  /** Where the model says that it lies. */
  readonly path: string;
  readonly data: Uint8Array;
}

/** A model in the form that a session is made from. */
export interface Runnable {
  readonly bytes: Uint8Array;
  readonly externalData: readonly ExternalContent[];
}

/** Constants below this size are needed while a session is made (shapes, axes) and stay in the model. */
const threshold = 1024;

/**
 * A graph as one file or, past 2 GiB, as a small file and one external file for each large constant: the constant's own
 * bytes, not a copy.
 *
 * @param limit bytes that the one file may have at most
 * @throws DgateError as `writeModel`
 */
export function runnableOf(model: Graph | Uint8Array, limit: number = maxModelBytes): Runnable {
  if (!(model instanceof Graph)) return { bytes: model, externalData: [] };
  checkGraph(model);
  const whole = modelMessage(model);
  if (whole.length < limit) return { bytes: finishModel(whole), externalData: [] };
  const paths = new Map<Uint8Array, string>();
  const message = modelMessage(model, ({ dtype, bytes }) => {
    if (dtype === "string" || bytes.length < threshold) return undefined;
    const location = paths.get(bytes) ?? `constant_${paths.size}`;
    paths.set(bytes, location);
    return { location, offset: 0, length: bytes.length };
  });
  const externalData = [...paths].map(([data, path]) => ({ path, data }));
  return { bytes: finishModel(message), externalData };
}
