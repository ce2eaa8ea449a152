/** A file to write: content in pieces, or a second name of a file that was written before. */
export type FileContent =
  | { readonly path: string; readonly sizeBytes: number; readonly chunks: () => Iterable<Uint8Array> }
  | { readonly path: string; readonly linkOf: string };

/** A file whose content is in memory. */
export const contentOf = (path: string, bytes: Uint8Array): FileContent => ({
  path,
  sizeBytes: bytes.length,
  chunks: () => [bytes],
});

/** A file with text. */
export const textOf = (path: string, text: string): FileContent =>
  contentOf(path, new TextEncoder().encode(text));

/** All pieces of a file as one array. */
export function joined(sizeBytes: number, chunks: Iterable<Uint8Array>): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
