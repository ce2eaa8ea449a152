import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";

const contentTypes: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css",
  svg: "image/svg+xml",
  js: "text/javascript",
  mjs: "text/javascript",
  wasm: "application/wasm",
};

/** A file server on this machine only, with the headers that threads in the browser ask for. */
export interface StaticServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves folders, and contents by path.
 * @param folders path prefix → folder
 * @param isolated send COOP and COEP, without which there is no SharedArrayBuffer
 */
export async function serve(
  folders: Readonly<Record<string, string>>,
  contents: Readonly<Record<string, string | Uint8Array>>,
  isolated = true,
): Promise<StaticServer> {
  const find = async (path: string): Promise<string | Uint8Array | undefined> => {
    if (Object.hasOwn(contents, path)) return contents[path];
    const prefix = Object.keys(folders).find((start) => path.startsWith(start));
    const rest = normalize(path.slice(prefix?.length ?? 0));
    if (prefix === undefined || rest.startsWith("..")) return undefined;
    return readFile(join(folders[prefix]!, rest)).catch(() => undefined);
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    // A folder is its page.
    const path =
      pathname.endsWith("/") && !Object.hasOwn(contents, pathname) ? `${pathname}index.html` : pathname;
    void find(path).then((content) => {
      if (content === undefined) return response.writeHead(404).end();
      const type = contentTypes[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream";
      response.setHeader("content-type", type);
      response.setHeader("content-length", Buffer.byteLength(content));
      if (isolated) {
        response.setHeader("cross-origin-opener-policy", "same-origin");
        response.setHeader("cross-origin-embedder-policy", "require-corp");
      }
      return response.end(content);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
