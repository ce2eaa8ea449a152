import { DgateError } from "../errors.ts";
import {
  byteCount,
  elementBytes,
  isDtype,
  maxHeaderBytes,
  metadataKey,
  type SafetensorsEntry,
} from "./format.ts";

/**
 * Writes tensors in the safetensors format: 8 bytes header length, JSON header, data. Tensors of wide elements come
 * first and the header is padded to 8 bytes, so that every tensor is aligned to its element. The same map gives the
 * same bytes. Throws `SHAPE` if bytes and shape of a tensor disagree.
 *
 * @param metadata free text pairs
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  // Stable sort: within one width the map's order stays.
  const ordered = [...tensors].sort(([, a], [, b]) => elementBytes[b.dtype] - elementBytes[a.dtype]);
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [[metadataKey, metadata]] : [];
  let end = 0;
  for (const [name, entry] of ordered) {
    checkEntry(name, entry);
    const begin = end;
    end += entry.bytes.length;
    header.push([name, { dtype: entry.dtype, shape: entry.shape, data_offsets: [begin, end] }]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  if (headerBytes > maxHeaderBytes) {
    throw new DgateError(
      "FORMAT",
      `safetensors: the header has ${headerBytes} bytes, the limit is ${maxHeaderBytes}.`,
    );
  }
  const file = new Uint8Array(8 + headerBytes + end).fill(0x20, 8, 8 + headerBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(json, 8);
  let at = 8 + headerBytes;
  for (const [, { bytes }] of ordered) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

function checkEntry(name: string, { dtype, shape, bytes }: SafetensorsEntry): void {
  if (name === metadataKey) {
    throw new DgateError("FORMAT", `safetensors: "${metadataKey}" cannot be the name of a tensor.`);
  }
  const expected = isDtype(dtype) ? byteCount(dtype, shape) : undefined;
  if (expected === bytes.length) return;
  throw new DgateError(
    "SHAPE",
    `safetensors: "${name}" is ${dtype} of shape [${shape.join(", ")}], ${expected ?? "an unknown number of"} bytes, ` +
      `but has ${bytes.length}.`,
  );
}
