import { DgateError } from "@dgate/core";

/** How far loading has come. */
export interface Progress {
  readonly phase: "download" | "start" | "warm-up";
  /** Bytes so far. */
  readonly loaded: number;
  /** Bytes in all, where the server tells. */
  readonly total: number | undefined;
}

/** What a download needs to know. */
export interface DownloadOptions {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes at which the download is given up. */
  readonly maxBytes: number;
  /** ETag of the content that is there already. */
  readonly etag?: string | undefined;
}

/** What a download gave: `bytes` is absent if the content has not changed since `etag`. */
export interface Downloaded {
  readonly bytes: Uint8Array | undefined;
  readonly etag: string | undefined;
}

/**
 * Fetches a file, telling the progress as it comes in.
 * @throws DgateError `IO` if the server or the network fails, `FORMAT` for a web page in place of a model, `ABORTED`.
 */
export async function download(url: string, options: DownloadOptions): Promise<Downloaded> {
  const { signal, etag, maxBytes } = options;
  try {
    const response = await fetch(url, {
      ...(signal && { signal }),
      ...(etag && { headers: { "If-None-Match": etag } }),
    });
    if (etag && response.status === 304) return { bytes: undefined, etag };
    if (!response.ok) {
      throw new DgateError("IO", `${url}: the server answers ${response.status} ${response.statusText}.`);
    }
    if (response.headers.get("content-type")?.startsWith("text/html")) {
      throw new DgateError("FORMAT", `${url}: the server gives a web page, not a model; is the path right?`);
    }
    const bytes = await collect(url, response, maxBytes, options.onProgress);
    return { bytes, etag: response.headers.get("etag") ?? undefined };
  } catch (cause) {
    if (signal?.aborted) throw new DgateError("ABORTED", `${url}: loading was cancelled.`, { cause });
    if (cause instanceof DgateError) throw cause;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new DgateError("IO", `${url} cannot be fetched: ${text}`, { cause });
  }
}

async function collect(
  url: string,
  response: Response,
  maxBytes: number,
  onProgress: DownloadOptions["onProgress"],
): Promise<Uint8Array> {
  // The announced length is that of the compressed content, if it is compressed.
  const announced = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  const total = announced === null ? undefined : Number(announced);
  const tooLarge = (): DgateError =>
    new DgateError("IO", `${url} is larger than ${maxBytes} bytes; raise maxBytes if you trust it.`);
  if (total !== undefined && total > maxBytes) throw tooLarge();
  const parts: Uint8Array[] = [];
  let loaded = 0;
  onProgress?.({ phase: "download", loaded, total });
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    if (loaded > maxBytes) {
      await reader?.cancel();
      throw tooLarge();
    }
    onProgress?.({ phase: "download", loaded, total });
  }
  if (total !== undefined && loaded !== total) {
    throw new DgateError("IO", `${url}: ${loaded} of ${total} bytes came in; load it again.`);
  }
  const whole = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
