import type { Declaration, Dim, ValueType } from "../graph/types.ts";
import type { WireReader } from "../proto/wire-reader.ts";
import { dataTypeOf, maxRank } from "./element-types.ts";
import { dimFields, shapeFields, tensorTypeFields, typeFields, valueInfoFields } from "./fields.ts";
import { OpaqueFields, type ReadContext } from "./read-context.ts";

/** A ValueInfoProto: a value's name and what the file says about it. */
export interface NamedDeclaration {
  readonly name: string;
  readonly declaration: Declaration;
}

/** Reads a ValueInfoProto; types that are not tensors have bytes but no `type`. */
export function readValueInfo(reader: WireReader, context: ReadContext): NamedDeclaration {
  let name = "";
  let type: ValueType | undefined;
  let typeBytes: Uint8Array | undefined;
  const extra = new OpaqueFields();
  while (reader.next()) {
    if (reader.field === valueInfoFields.name) name = reader.string();
    else if (reader.field === valueInfoFields.type) {
      typeBytes = reader.bytes();
      type = readType(reader.message("type"), context);
    } else extra.add(reader, context);
  }
  return { name, declaration: { type, typeBytes, extra: extra.joined() } };
}

function readType(reader: WireReader, context: ReadContext): ValueType | undefined {
  let type: ValueType | undefined;
  while (reader.next()) {
    if (reader.field === typeFields.tensor) type = readTensorType(reader.message("tensor_type"), context);
  }
  return type;
}

function readTensorType(reader: WireReader, context: ReadContext): ValueType | undefined {
  let code = 0;
  let shape: Dim[] | undefined;
  while (reader.next()) {
    if (reader.field === tensorTypeFields.elementType) code = reader.integer();
    else if (reader.field === tensorTypeFields.shape) shape = readShape(reader.message("shape"), context);
  }
  const dtype = dataTypeOf(code);
  if (!dtype) return undefined; // 0 or a type of a later version: the file's bytes are kept
  return shape ? { dtype, shape } : { dtype };
}

function readShape(reader: WireReader, context: ReadContext): Dim[] {
  const shape: Dim[] = [];
  while (reader.next()) {
    if (reader.field !== shapeFields.dim) continue;
    context.count(reader);
    if (shape.length >= maxRank) reader.fail(`a shape has more than ${maxRank} axes`);
    shape.push(readDim(reader.message("dim")));
  }
  return shape;
}

function readDim(reader: WireReader): Dim {
  let dim: Dim;
  while (reader.next()) {
    if (reader.field === dimFields.value) dim = reader.integer();
    else if (reader.field === dimFields.name) dim = reader.string();
  }
  // Some exporters write −1 or an empty name for "unknown".
  return dim === "" || (typeof dim === "number" && dim < 0) ? undefined : dim;
}
