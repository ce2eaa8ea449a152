import { DgateError } from "@dgate/core";

const BLOCK = 512;

/**
 * The regular files of a tar archive (ustar; other kinds of entries are passed over), as views on its bytes.
 *
 * @throws DgateError `FORMAT` for a size that is no number or that leads past the end
 */
export function readTar(bytes: Uint8Array, name = "archive"): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let at = 0;
  while (at + BLOCK <= bytes.length && bytes[at] !== 0) {
    const path = text(bytes.subarray(at, at + 100));
    const field = text(bytes.subarray(at + 124, at + 136)).trim();
    const size = Number.parseInt(field, 8);
    const start = at + BLOCK;
    if (!/^[0-7]+$/.test(field) || start + size > bytes.length) {
      throw new DgateError(
        "FORMAT",
        `${name}: truncated: entry "${path}" at byte ${at} has size "${field}" (octal) but the archive ends at ${bytes.length}.`,
      );
    }
    const kind = bytes[at + 156];
    if (kind === 0 || kind === 0x30) files.set(path, bytes.subarray(start, start + size));
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}
