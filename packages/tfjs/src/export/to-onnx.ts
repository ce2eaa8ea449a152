import { writeModel } from "@dgate/onnx";
import type * as tf from "@tensorflow/tfjs";
import { modelInfo } from "./model-info.ts";
import { type ExportedGraph, type GraphOptions, modelToGraph } from "./to-graph.ts";

/**
 * The ONNX graph of a model (see `toOnnx`) with the bindings that tell which initializer holds which weight.
 *
 * @throws DgateError `UNSUPPORTED` naming the layer and its class, `DATA` for weights that are not finite.
 */
export async function toGraph(model: tf.LayersModel, options: GraphOptions = {}): Promise<ExportedGraph> {
  const exported = await modelToGraph(model, options, { makeBiases: false });
  exported.graph.info = modelInfo(model.name);
  return exported;
}

/**
 * Writes a LayersModel as an ONNX file: opset 17, IR 8, symbolic dimension `batch`, names of layers on nodes,
 * inputs and outputs in tfjs's order of axes.
 *
 * @returns the bytes of the file
 * @throws DgateError `UNSUPPORTED` naming the layer and its class, `DATA` for weights that are not finite.
 */
export async function toOnnx(model: tf.LayersModel, options: GraphOptions = {}): Promise<Uint8Array> {
  const { graph } = await toGraph(model, options);
  return writeModel(graph);
}
