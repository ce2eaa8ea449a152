import type { DataType, Tensor } from "../graph/tensor.ts";
import { WireReader } from "../proto/wire-reader.ts";
import { byteLengthOf, dataTypeOf, elementBits, elementCount, maxRank } from "./element-types.ts";
import { externalReference } from "./external-data.ts";
import { tensorFields as fields } from "./fields.ts";
import { concatBytes, OpaqueFields, placed, type ReadContext, readEntry } from "./read-context.ts";

interface Draft {
  name: string;
  dtype: DataType | undefined;
  readonly shape: number[];
  /** Content by the kind of field that holds it; integers stay as they are in the file until the type is known. */
  /** The last one of the file, as protobuf has it for a field that is not repeated. */
  raw: Uint8Array | undefined;
  readonly fixed: Uint8Array[];
  readonly varints: OpaqueFields;
  readonly strings: Uint8Array[];
  readonly external: Map<string, string>;
  isExternal: boolean;
}

/**
 * Reads a TensorProto. Content in `raw_data` and packed floats stay views on the file; other lists become little-endian
 * bytes. A `name` of the file goes to `extra` with `keepName` (attributes), else it is given back (initializers).
 */
export function readTensor(
  reader: WireReader,
  context: ReadContext,
  keepName: boolean,
): { readonly name: string; readonly tensor: Tensor } {
  const draft: Draft = {
    name: "",
    dtype: undefined,
    shape: [],
    raw: undefined,
    fixed: [],
    varints: new OpaqueFields(),
    strings: [],
    external: new Map(),
    isExternal: false,
  };
  const extra = new OpaqueFields();
  while (reader.next()) {
    if (!readField(reader, draft, context)) extra.add(reader, context);
    else if (keepName && reader.field === fields.name) extra.add(reader, context);
  }
  const { name, dtype } = draft;
  if (!dtype) return reader.fail(`tensor "${name}" has no element type`);
  const kept = extra.joined();
  const content = placed(reader, () => contentOf(reader, { ...draft, dtype }, context));
  return { name, tensor: { dtype, shape: draft.shape, ...content, ...(kept && { extra: kept }) } };
}

function readField(reader: WireReader, draft: Draft, context: ReadContext): boolean {
  switch (reader.field) {
    case fields.dims:
      reader.integers((low, high) => {
        if (draft.shape.length >= maxRank) reader.fail(`a tensor has more than ${maxRank} axes`);
        draft.shape.push((high | 0) * 2 ** 32 + low);
      });
      return true;
    case fields.dataType: {
      const number = reader.integer();
      draft.dtype = dataTypeOf(number) ?? reader.fail(`element type ${number} is not known to this version`);
      return true;
    }
    case fields.name:
      draft.name = reader.string();
      return true;
    case fields.rawData:
      draft.raw = reader.bytes();
      return true;
    case fields.floatData:
      draft.fixed.push(counted(reader, context).fixed(4));
      return true;
    case fields.doubleData:
      draft.fixed.push(counted(reader, context).fixed(8));
      return true;
    case fields.int32Data:
    case fields.int64Data:
    case fields.uint64Data:
      draft.varints.add(reader, context);
      return true;
    case fields.stringData:
      draft.strings.push(counted(reader, context).bytes());
      return true;
    case fields.externalData:
      readEntry(counted(reader, context).message("external_data"), draft.external);
      return true;
    case fields.dataLocation:
      draft.isExternal = reader.integer() === 1;
      return true;
    case fields.segment:
      return reader.fail("tensors in segments are not supported");
    default:
      return false;
  }
}

function counted(reader: WireReader, context: ReadContext): WireReader {
  context.count(reader);
  return reader;
}

function contentOf(
  reader: WireReader,
  draft: Draft & { readonly dtype: DataType },
  context: ReadContext,
): Pick<Tensor, "bytes" | "strings"> {
  const { name, dtype, shape, strings } = draft;
  if (dtype === "string") {
    const count = elementCount(shape);
    if (strings.length !== count) reader.fail(`tensor "${name}" needs ${count} texts, got ${strings.length}`);
    return { bytes: new Uint8Array(0), strings };
  }
  const expected = byteLengthOf(dtype, shape);
  if (draft.isExternal) return { bytes: resolve(reader, draft, expected, context) };
  const bytes =
    draft.raw ?? (draft.fixed.length > 0 ? concatBytes(draft.fixed) : narrow(reader, draft, expected));
  if (bytes.length !== expected) {
    reader.fail(
      `tensor "${name}", ${dtype}[${shape.join(", ")}], needs ${expected} bytes of content, got ${bytes.length}`,
    );
  }
  return { bytes };
}

/** Integers of int32_data, int64_data and uint64_data as content: of each number the bytes that one element takes. */
function narrow(
  reader: WireReader,
  draft: Draft & { readonly dtype: DataType },
  expected: number,
): Uint8Array {
  // Sub-byte elements come packed, one whole byte a number.
  const width = Math.max(elementBits[draft.dtype] / 8, 1);
  // A number takes at least a byte of the file: nothing is allocated for content that cannot be there.
  const available = draft.varints.parts.reduce((sum, part) => sum + part.length, 0);
  const count = Math.min(expected / width, available);
  const view = new DataView(new ArrayBuffer(Math.ceil(count) * width));
  let at = 0;
  const put = (low: number, high: number): void => {
    if (at < view.byteLength) {
      if (width === 1) view.setUint8(at, low);
      else if (width === 2) view.setUint16(at, low, true);
      else view.setUint32(at, low, true);
      if (width === 8) view.setUint32(at + 4, high, true);
    }
    at += width;
  };
  for (const part of draft.varints.parts) {
    const fieldReader = WireReader.of(part, `tensor "${draft.name}"`);
    while (fieldReader.next()) fieldReader.integers(put);
  }
  if (at !== expected) {
    reader.fail(`tensor "${draft.name}" needs ${expected / width} numbers, got ${at / width}`);
  }
  return new Uint8Array(view.buffer);
}

function resolve(reader: WireReader, draft: Draft, expected: number, context: ReadContext): Uint8Array {
  const reference = externalReference(draft.name, draft.external, expected, (what) => reader.fail(what));
  if (!context.external) {
    return reader.fail(
      `the content of tensor "${draft.name}" lies in the file "${reference.location}"; ` +
        "read the model with readModelFile, or give the option externalData",
    );
  }
  const bytes = context.external(reference);
  context.usesExternal = true;
  if (bytes.length !== expected) {
    reader.fail(
      `tensor "${draft.name}" needs ${expected} bytes of "${reference.location}" from byte ${reference.offset}, ` +
        `got ${bytes.length}`,
    );
  }
  return bytes;
}
