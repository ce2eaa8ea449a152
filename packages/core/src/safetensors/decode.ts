import { DgateError } from "../errors.ts";
import { byteCount, isDtype, maxHeaderBytes, metadataKey, type SafetensorsEntry } from "./format.ts";

/** A read safetensors file. */
export interface Safetensors {
  readonly tensors: Map<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Located {
  readonly name: string;
  readonly entry: SafetensorsEntry;
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a safetensors file. Nothing is copied: each tensor's bytes are a view on `file` (aligned to its element only
 * if the file is; copy before viewing them as a Float32Array). The file is not trusted: every length is checked, and
 * the tensors must cover the data without holes or overlaps. Throws `FORMAT` with the place.
 */
export function decodeSafetensors(file: Uint8Array): Safetensors {
  if (file.length < 8) fail(`${file.length} bytes, expected at least 8`);
  const claimed = new DataView(file.buffer, file.byteOffset, file.byteLength).getBigUint64(0, true);
  if (claimed > BigInt(maxHeaderBytes))
    fail(`the header claims ${claimed} bytes, the limit is ${maxHeaderBytes}`);
  const headerBytes = Number(claimed);
  if (headerBytes > file.length - 8) {
    fail(`the header claims ${headerBytes} bytes, only ${file.length - 8} follow; was the file cut?`);
  }
  const header = parseHeader(file.subarray(8, 8 + headerBytes));
  const data = file.subarray(8 + headerBytes);
  const located: Located[] = [];
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === metadataKey) metadata = readMetadata(value);
    else located.push(locate(name, value, data));
  }
  checkCover(located, data.length);
  return { tensors: new Map(located.map(({ name, entry }) => [name, entry])), metadata };
}

function parseHeader(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new DgateError("FORMAT", `safetensors: the header is not JSON (${String(cause)}).`, { cause });
  }
  if (!isRecord(header)) fail("the header is not an object");
  return header;
}

function readMetadata(value: unknown): Readonly<Record<string, string>> {
  if (!isRecord(value)) fail(`${metadataKey} is not an object`);
  const pairs = Object.entries(value).map(([key, text]): [string, string] =>
    typeof text === "string" ? [key, text] : fail(`${metadataKey}.${key} is not a string`),
  );
  return Object.fromEntries(pairs);
}

function locate(name: string, value: unknown, data: Uint8Array): Located {
  const place = `tensor ${JSON.stringify(name.slice(0, 80))}`;
  if (!isRecord(value)) fail(`${place} is not an object`);
  const { dtype, shape, data_offsets: range } = value;
  if (!isDtype(dtype)) fail(`${place} has unknown dtype ${JSON.stringify(dtype)}`);
  const bytes = Array.isArray(shape) ? byteCount(dtype, shape) : undefined;
  if (bytes === undefined)
    fail(`${place} has shape ${JSON.stringify(shape)?.slice(0, 80)}, expected whole numbers`);
  const [begin, end]: unknown[] = Array.isArray(range) && range.length === 2 ? range : [];
  if (!isOffset(begin) || !isOffset(end) || begin > end) {
    fail(`${place} has data_offsets ${JSON.stringify(range)?.slice(0, 80)}, expected [begin, end]`);
  }
  if (end > data.length) fail(`${place} ends at byte ${end} of ${data.length}; was the file cut?`);
  if (end - begin !== bytes) fail(`${place} has ${end - begin} bytes, its dtype and shape need ${bytes}`);
  // byteCount has checked that the shape is a list of numbers.
  const entry: SafetensorsEntry = { dtype, shape: shape as number[], bytes: data.subarray(begin, end) };
  return { name, entry, begin, end };
}

function checkCover(located: readonly Located[], size: number): void {
  let covered = 0;
  for (const { name, begin, end } of located.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      fail(
        `tensor ${JSON.stringify(name.slice(0, 80))} begins at byte ${begin}, the one before ends at ${covered}`,
      );
    }
    covered = end;
  }
  if (covered !== size) fail(`the tensors cover ${covered} of ${size} bytes`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOffset(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function fail(problem: string): never {
  throw new DgateError("FORMAT", `safetensors: ${problem}.`);
}
