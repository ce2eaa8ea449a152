import { createHash } from "node:crypto";

/**
 * A second, independent reading of ONNX files for the round-trip tests: message by message from a table of the schema,
 * nothing left out. What two files may write differently although they mean the same (where tensor content lies, the
 * order of constants and value infos, spellings of the standard domain) is brought to one form.
 */
export type Plain = string | number | bigint | readonly Plain[] | { readonly [key: string]: Plain };

type Kind =
  | "string"
  | "bytes"
  | "latin1"
  | "int"
  | "float"
  | "double"
  | "floats"
  | "ints"
  | "doubles"
  | { readonly message: string };

type Schema = Readonly<Record<number, readonly [string, Kind, ("one" | "many")?]>>;

const m = (message: string): Kind => ({ message });

const schemas: Readonly<Record<string, Schema>> = {
  Model: {
    1: ["irVersion", "int"],
    2: ["producer", "string"],
    3: ["producerVersion", "string"],
    4: ["domain", "string"],
    5: ["modelVersion", "int"],
    6: ["doc", "string"],
    7: ["graph", m("Graph")],
    8: ["opsets", m("Opset"), "many"],
    14: ["metadata", m("Entry"), "many"],
    25: ["functions", m("Function"), "many"],
  },
  Opset: { 1: ["domain", "string"], 2: ["version", "int"] },
  Entry: { 1: ["key", "string"], 2: ["value", "string"] },
  Function: {},
  Graph: {
    1: ["nodes", m("Node"), "many"],
    2: ["name", "string"],
    5: ["initializers", m("Tensor"), "many"],
    10: ["doc", "string"],
    11: ["inputs", m("Value"), "many"],
    12: ["outputs", m("Value"), "many"],
    13: ["valueInfos", m("Value"), "many"],
    14: ["quantization", "bytes", "many"],
    15: ["sparse", "bytes", "many"],
    16: ["metadata", m("Entry"), "many"],
  },
  Node: {
    1: ["inputs", "string", "many"],
    2: ["outputs", "string", "many"],
    3: ["name", "string"],
    4: ["op", "string"],
    5: ["attributes", m("Attribute"), "many"],
    6: ["doc", "string"],
    7: ["domain", "string"],
    8: ["overload", "string"],
    9: ["metadata", m("Entry"), "many"],
  },
  Attribute: {
    1: ["name", "string"],
    2: ["f", "float"],
    3: ["i", "int"],
    4: ["s", "bytes"],
    5: ["t", m("Tensor")],
    6: ["g", m("Graph")],
    7: ["floats", "floats", "many"],
    8: ["ints", "ints", "many"],
    9: ["strings", "bytes", "many"],
    10: ["tensors", m("Tensor"), "many"],
    11: ["graphs", m("Graph"), "many"],
    13: ["doc", "string"],
    14: ["typeProto", "bytes"],
    20: ["type", "int"],
    21: ["reference", "string"],
    22: ["sparse", "bytes"],
  },
  Tensor: {
    1: ["dims", "ints", "many"],
    2: ["dtype", "int"],
    4: ["floats", "floats", "many"],
    5: ["int32s", "ints", "many"],
    6: ["strings", "bytes", "many"],
    7: ["int64s", "ints", "many"],
    8: ["name", "string"],
    9: ["raw", "latin1"],
    10: ["doubles", "doubles", "many"],
    11: ["uint64s", "ints", "many"],
    12: ["doc", "string"],
  },
  Value: {
    1: ["name", "string"],
    2: ["type", "bytes"],
    3: ["doc", "string"],
    4: ["metadata", m("Entry"), "many"],
  },
};

type Message = Record<string, Plain>;

/** The content of a model file in one comparable form. */
export function canonicalModel(bytes: Uint8Array): Plain {
  return decode(bytes, "Model");
}

function decode(bytes: Uint8Array, schemaName: string): Plain {
  const schema = schemas[schemaName]!;
  const message: Message = {};
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(64, value);
    }
  };
  const add = (key: string, value: Plain): void => {
    message[key] = [...((message[key] as Plain[] | undefined) ?? []), value];
  };
  const push = (key: string, values: Plain[]): void => {
    const list = (message[key] ??= []) as Plain[];
    for (const value of values) list.push(value);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    const [key, kind, many] = schema[tag >>> 3] ?? [`field ${tag >>> 3}`, "bytes", "many"];
    let value: Plain | Plain[];
    if (wire === 0) value = varint();
    else {
      const length = wire === 5 ? 4 : wire === 1 ? 8 : Number(varint());
      const content = bytes.subarray(at, at + length);
      at += length;
      value = decodeContent(content, kind);
    }
    if (many !== "many") message[key] = value;
    else if (Array.isArray(value)) push(key, value);
    else add(key, value);
  }
  return normalise(message, schemaName);
}

function decodeContent(content: Uint8Array, kind: Kind): Plain | Plain[] {
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  if (typeof kind === "object") return decode(content, kind.message);
  switch (kind) {
    case "string":
      return Buffer.from(content).toString("utf8");
    case "latin1":
      return Buffer.from(content).toString("latin1");
    case "float":
      return view.getFloat32(0, true);
    case "floats":
      return Array.from({ length: content.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
    case "doubles":
      return Array.from({ length: content.length / 8 }, (_, i) => view.getFloat64(8 * i, true));
    case "ints":
      return packedInts(content);
    default:
      return digest(content);
  }
}

function packedInts(content: Uint8Array): bigint[] {
  const values: bigint[] = [];
  for (let at = 0; at < content.length; ) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = content[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    values.push(BigInt.asIntN(64, value));
  }
  return values;
}

const digest = (content: Uint8Array): string =>
  `${content.length} bytes ${createHash("sha1").update(content).digest("hex")}`;

/** A key to sort messages by. */
const keyOf = (message: Plain, key: string): string => JSON.stringify((message as Message)[key] ?? "");

const byKey =
  (key: string) =>
  (a: Plain, b: Plain): number =>
    keyOf(a, key) < keyOf(b, key) ? -1 : 1;

function normalise(message: Message, schemaName: string): Plain {
  if (
    (schemaName === "Opset" || schemaName === "Node") &&
    (message.domain === "ai.onnx" || !message.domain)
  ) {
    message.domain = "";
  }
  if (schemaName === "Node") {
    message.name ??= "";
    message.attributes = [...((message.attributes as Plain[] | undefined) ?? [])].sort(byKey("name"));
  }
  if (schemaName === "Attribute") normaliseAttribute(message);
  if (schemaName === "Tensor") return normaliseTensor(message);
  if (schemaName === "Model") {
    message.producer ??= "";
    message.producerVersion ??= "";
    message.opsets = [...((message.opsets as Plain[] | undefined) ?? [])].sort(byKey("domain"));
  }
  if (schemaName === "Graph") normaliseGraph(message);
  // An empty text and an absent one are the same.
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== ""));
}

/** Default values may be written or not. */
function normaliseAttribute(message: Message): void {
  if (message.type === 1n) message.f ??= 0;
  if (message.type === 2n) message.i ??= 0n;
  if (message.type === 3n) message.s ??= digest(new Uint8Array(0));
  const lists = { 6: "floats", 7: "ints", 8: "strings" }[Number(message.type)];
  if (lists) message[lists] ??= [];
}

function normaliseGraph(message: Message): void {
  message.name ??= "";
  // Any topological order means the same.
  message.nodes = [...((message.nodes as Plain[] | undefined) ?? [])].sort(byKey("outputs"));
  const known = new Set<Plain>();
  for (const key of ["inputs", "initializers"]) {
    for (const value of (message[key] as Message[] | undefined) ?? []) known.add(value.name!);
  }
  for (const node of (message.nodes as Message[] | undefined) ?? []) {
    for (const name of node.outputs as string[]) known.add(name);
  }
  const outputs = new Set(((message.outputs as Message[] | undefined) ?? []).map(({ name }) => name));
  const inputs = new Set(((message.inputs as Message[] | undefined) ?? []).map(({ name }) => name));
  // A value info of an input, an output or of nothing repeats or says nothing.
  const infos = ((message.valueInfos as Message[] | undefined) ?? []).filter(
    ({ name }) => known.has(name!) && !outputs.has(name) && !inputs.has(name),
  );
  message.valueInfos = infos.sort(byKey("name"));
  message.initializers = [...((message.initializers as Plain[] | undefined) ?? [])].sort(byKey("name"));
}

/** Bytes that one number of the integer fields gives, by element type. */
const widths: Readonly<Record<number, number>> = { 4: 2, 5: 2, 10: 2, 16: 2, 6: 4, 12: 4, 7: 8, 13: 8 };

function normaliseTensor(message: Message): Plain {
  const { floats, int32s, int64s, uint64s, doubles, raw, dims, strings, ...rest } = message;
  const kept: Message = { ...rest, name: rest.name ?? "", dims: dims ?? [] };
  if (message.dtype === 8n) return { ...kept, strings: strings ?? [] };
  const content =
    typeof raw === "string"
      ? Buffer.from(raw, "latin1")
      : floats
        ? Buffer.from(Float32Array.from(floats as number[]).buffer)
        : doubles
          ? Buffer.from(Float64Array.from(doubles as number[]).buffer)
          : fromInts((int32s ?? int64s ?? uint64s ?? []) as bigint[], widths[Number(message.dtype)] ?? 1);
  return { ...kept, content: digest(content) };
}

function fromInts(values: readonly bigint[], width: number): Buffer {
  const buffer = Buffer.alloc(values.length * width);
  values.forEach((value, i) => {
    for (let byte = 0; byte < width; byte++)
      buffer[i * width + byte] = Number((value >> BigInt(8 * byte)) & 255n);
  });
  return buffer;
}
