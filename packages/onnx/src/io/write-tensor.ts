import { dataTypes, type Tensor } from "../graph/tensor.ts";
import { WireWriter } from "../proto/wire-writer.ts";
import type { ExternalReference } from "./external-data.ts";
import { entryFields, tensorFields as fields } from "./fields.ts";
import { contentOf } from "./tensor-data.ts";

/** Says where the content of an initializer goes: a range of another file, or `undefined` for the model itself. */
export type ContentPlacer = (tensor: Tensor) => ExternalReference | undefined;

/** TensorProto.DataLocation.EXTERNAL. */
const externalLocation = 1;

/**
 * A TensorProto; content goes to `raw_data`, which is passed on by reference, or, where `place` gives one, to a range of
 * another file that the message names.
 */
export function tensorMessage(tensor: Tensor, name?: string, place?: ContentPlacer): WireWriter {
  const writer = new WireWriter();
  writer.packedIntegers(fields.dims, tensor.shape);
  writer.integer(fields.dataType, dataTypes[tensor.dtype]);
  if (name !== undefined) writer.string(fields.name, name);
  const reference = place?.(tensor);
  if (reference) {
    writeReference(writer, reference);
  } else if (tensor.dtype === "string") {
    for (const text of tensor.strings ?? []) writer.bytes(fields.stringData, text);
  } else {
    writer.bytes(fields.rawData, contentOf(tensor));
  }
  if (tensor.extra) writer.raw(tensor.extra);
  return writer;
}

function writeReference(writer: WireWriter, { location, offset, length }: ExternalReference): void {
  for (const [key, value] of Object.entries({ location, offset, length })) {
    const entry = new WireWriter();
    entry.string(entryFields.key, key);
    entry.string(entryFields.value, String(value));
    writer.message(fields.externalData, entry);
  }
  writer.integer(fields.dataLocation, externalLocation);
}
