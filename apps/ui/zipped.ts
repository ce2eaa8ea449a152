import { Zip, ZipPassThrough } from "fflate";
import { pause } from "./until.ts";

/** Bytes that are taken before others have their turn. */
const chunkBytes = 4 << 20;

/**
 * A zip of files as they are: weights hardly get smaller, and compressing them takes minutes.
 *
 * @param onPart told the part that is done
 */
export async function zipped(
  files: Iterable<readonly [path: string, content: Uint8Array]>,
  onPart: (part: number) => void = () => {},
): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, part) => {
    if (error) throw error;
    parts.push(part);
  });
  const all = [...files];
  const total = all.reduce((sum, [, { length }]) => sum + length, 0);
  let done = 0;
  for (const [path, content] of all) {
    const entry = new ZipPassThrough(path);
    zip.add(entry);
    for (let at = 0; at < content.length; at += chunkBytes) {
      const chunk = content.subarray(at, at + chunkBytes);
      entry.push(chunk);
      done += chunk.length;
      onPart(done / total);
      await pause();
    }
    entry.push(new Uint8Array(), true);
  }
  zip.end();
  return new Blob(parts, { type: "application/zip" });
}
