import { writeModel } from "@dgate/onnx";
import type * as tf from "@tensorflow/tfjs";
import { collapse } from "../gating/gate.ts";
import { gatedSites } from "../gating/inspect.ts";
import { modelInfo } from "./model-info.ts";
import { type ExportedGraph, type GraphOptions, modelToGraph } from "./to-graph.ts";

/**
 * The ONNX graph of a model (see `toOnnx`) with the bindings that tell which initializer holds which weight. A gated
 * model is collapsed first; the model itself is left as it is.
 *
 * @throws DgateError `UNSUPPORTED` naming the layer and its class, `DATA` for weights that are not finite.
 */
export async function toGraph(model: tf.LayersModel, options: GraphOptions = {}): Promise<ExportedGraph> {
  if (gatedSites(model).length === 0) return plainToGraph(model, options);
  const plain = collapse(model);
  try {
    return await plainToGraph(plain, options);
  } finally {
    plain.dispose();
  }
}

async function plainToGraph(model: tf.LayersModel, options: GraphOptions): Promise<ExportedGraph> {
  const exported = await modelToGraph(model, options, { makeBiases: false });
  exported.graph.info = modelInfo(model.name);
  return exported;
}

/**
 * Writes a LayersModel as an ONNX file: opset 17, IR 8, symbolic dimension `batch`, names of layers on nodes,
 * inputs and outputs in tfjs's order of axes. A gated model is collapsed first.
 *
 * @returns the bytes of the file
 * @throws DgateError `UNSUPPORTED` naming the layer and its class, `DATA` for weights that are not finite.
 */
export async function toOnnx(model: tf.LayersModel, options: GraphOptions = {}): Promise<Uint8Array> {
  const { graph } = await toGraph(model, options);
  return writeModel(graph);
}
