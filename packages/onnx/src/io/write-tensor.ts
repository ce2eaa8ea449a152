import { dataTypes, type Tensor } from "../graph/tensor.ts";
import { WireWriter } from "../proto/wire-writer.ts";
import { tensorFields as fields } from "./fields.ts";
import { contentOf } from "./tensor-data.ts";

/** A TensorProto; content goes to `raw_data`, which is passed on by reference. */
export function tensorMessage(tensor: Tensor, name?: string): WireWriter {
  const writer = new WireWriter();
  writer.packedIntegers(fields.dims, tensor.shape);
  writer.integer(fields.dataType, dataTypes[tensor.dtype]);
  if (name !== undefined) writer.string(fields.name, name);
  if (tensor.dtype === "string") {
    for (const text of tensor.strings ?? []) writer.bytes(fields.stringData, text);
  } else {
    writer.bytes(fields.rawData, contentOf(tensor));
  }
  if (tensor.extra) writer.raw(tensor.extra);
  return writer;
}
