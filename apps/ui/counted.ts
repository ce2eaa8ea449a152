/** How far a download has come, in bytes; the total where the server tells it. */
export type OnBytes = (loaded: number, total: number | undefined) => void;

/** A response that tells how much of its content has come. */
export function counted(response: Response, onBytes: OnBytes): Response {
  if (!response.ok || !response.body) return response;
  const length = Number(response.headers.get("Content-Length"));
  // Of a compressed transfer the length is that of the compressed bytes.
  const total = length > 0 && !response.headers.get("Content-Encoding") ? length : undefined;
  let loaded = 0;
  const count = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      loaded += chunk.length;
      onBytes(loaded, total);
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), {
    status: response.status,
    headers: response.headers,
  });
}
