import type { Attribute } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import type { WireReader } from "../proto/wire-reader.ts";
import { attributeFields as fields, attributeTypes as types } from "./fields.ts";
import { OpaqueFields, type ReadContext } from "./read-context.ts";
import { readTensor } from "./read-tensor.ts";

interface Draft {
  name: string;
  type: number | undefined;
  /** Contents by AttributeType; a field that is left out stands for 0 or nothing. */
  content: Partial<Record<number, Attribute>>;
  readonly floats: number[];
  readonly ints: number[];
  readonly strings: string[];
  /** Set for what the kinds of `Attribute` cannot hold without loss. */
  isOpaque: boolean;
}

/**
 * Reads an AttributeProto, of which `bytes` is the content.
 * @param readGraph reads the GraphProto of a subgraph
 */
export function readAttribute(
  reader: WireReader,
  bytes: Uint8Array,
  context: ReadContext,
  readGraph: (reader: WireReader) => Graph,
): { readonly name: string; readonly attribute: Attribute } {
  const draft: Draft = {
    name: "",
    type: undefined,
    content: {},
    floats: [],
    ints: [],
    strings: [],
    isOpaque: false,
  };
  const extra = new OpaqueFields();
  while (reader.next()) {
    if (!readField(reader, draft, context, readGraph)) extra.add(reader, context);
  }
  const { name } = draft;
  const content = draft.isOpaque ? undefined : contentOf(draft);
  if (!content) return { name, attribute: { kind: "opaque", bytes } };
  const kept = extra.joined();
  return { name, attribute: kept ? { ...content, extra: kept } : content };
}

function readField(
  reader: WireReader,
  draft: Draft,
  context: ReadContext,
  readGraph: (reader: WireReader) => Graph,
): boolean {
  const { content } = draft;
  switch (reader.field) {
    case fields.name:
      draft.name = reader.string();
      return true;
    case fields.type:
      draft.type = reader.integer();
      return true;
    case fields.float:
      content[types.float] = { kind: "float", value: reader.float() };
      return true;
    case fields.int:
      reader.integers(
        (low, high) => (content[types.int] = { kind: "int", value: toNumber(low, high, draft) }),
      );
      return true;
    case fields.string:
      content[types.string] = { kind: "string", value: toText(reader.bytes(), draft) };
      return true;
    case fields.tensor:
      content[types.tensor] = {
        kind: "tensor",
        value: readTensor(reader.message("tensor"), context, true).tensor,
      };
      return true;
    case fields.graph:
      content[types.graph] = { kind: "graph", value: readGraph(reader.message("subgraph")) };
      return true;
    case fields.floats:
      context.count(reader, reader.fixed(4).length / 4);
      pushFloats(reader.fixed(4), draft.floats);
      return true;
    case fields.ints:
      reader.integers((low, high) => {
        context.count(reader);
        draft.ints.push(toNumber(low, high, draft));
      });
      return true;
    case fields.strings:
      context.count(reader);
      draft.strings.push(toText(reader.bytes(), draft));
      return true;
    case fields.reference:
      draft.isOpaque ||= reader.bytes().length > 0;
      return true;
    default:
      return false;
  }
}

function contentOf(draft: Draft): Attribute | undefined {
  const { content, floats, ints, strings } = draft;
  const type = draft.type ?? guessType(draft); // files before IR 2 give no type
  switch (type) {
    case types.float:
      return content[type] ?? { kind: "float", value: 0 };
    case types.int:
      return content[type] ?? { kind: "int", value: 0 };
    case types.string:
      return content[type] ?? { kind: "string", value: "" };
    case types.tensor:
    case types.graph:
      return content[type];
    case types.floats:
      return { kind: "floats", value: floats };
    case types.ints:
      return { kind: "ints", value: ints };
    case types.strings:
      return { kind: "strings", value: strings };
    default:
      return undefined;
  }
}

function guessType({ content, floats, ints, strings }: Draft): number | undefined {
  if (floats.length > 0) return types.floats;
  if (ints.length > 0) return types.ints;
  if (strings.length > 0) return types.strings;
  const given = Object.keys(content)[0];
  return given === undefined ? undefined : Number(given);
}

/** INT64_MIN and INT64_MAX as ±Number.MAX_SAFE_INTEGER; any other number past 2^53 makes the attribute opaque. */
function toNumber(low: number, high: number, draft: Draft): number {
  const value = (high | 0) * 2 ** 32 + low;
  if (Math.abs(value) < Number.MAX_SAFE_INTEGER) return value;
  if (high === 0x7fffffff && low === 0xffffffff) return Number.MAX_SAFE_INTEGER;
  if (high === 0x80000000 && low === 0) return Number.MIN_SAFE_INTEGER;
  draft.isOpaque = true;
  return value;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function toText(bytes: Uint8Array, draft: Draft): string {
  try {
    return utf8.decode(bytes);
  } catch {
    draft.isOpaque = true;
    return "";
  }
}

function pushFloats(bytes: Uint8Array, into: number[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 4) into.push(view.getFloat32(at, true));
}
