import type { OrtModule } from "@dgate/onnx/web";
import webgpuCode from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import webgpuBinary from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import wasmCode from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmBinary from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

/** How far a download has come, in bytes; the total where the server tells it. */
export type OnBytes = (loaded: number, total: number | undefined) => void;

const absolute = (path: string): string => new URL(path, import.meta.url).href;

const runtimes = {
  wasm: { load: () => import("onnxruntime-web/wasm"), code: wasmCode, binary: wasmBinary },
  webgpu: { load: () => import("onnxruntime-web/webgpu"), code: webgpuCode, binary: webgpuBinary },
} as const;

const started = new Map<keyof typeof runtimes, Promise<OrtModule>>();

/** onnxruntime-web with WASM alone, or with WebGPU too; its file, of 14 or 27 MB, is fetched once, from this site. */
export function startOrt(kind: "wasm" | "webgpu", onBytes?: OnBytes): Promise<OrtModule> {
  const running = started.get(kind);
  if (running) return running;
  const starting = start(kind, onBytes);
  started.set(kind, starting);
  starting.catch(() => started.delete(kind));
  return starting;
}

async function start(kind: "wasm" | "webgpu", onBytes: OnBytes | undefined): Promise<OrtModule> {
  const { load, code, binary } = runtimes[kind];
  const [module, bytes] = await Promise.all([load(), download(absolute(binary), onBytes)]);
  // The two builds export the same names; `OrtModule` is what of them is used.
  const ort = module as unknown as OrtModule & { env: { wasm: { wasmBinary?: ArrayBuffer } } };
  ort.env.wasm.wasmBinary = bytes;
  ort.env.wasm.wasmPaths = { mjs: absolute(code) };
  return ort;
}

async function download(address: string, onBytes: OnBytes = () => {}): Promise<ArrayBuffer> {
  const response = await fetch(address);
  if (!response.ok || !response.body) {
    throw new Error(
      `The runtime ${address} could not be fetched (${response.status}); reload the page to try again.`,
    );
  }
  const length = Number(response.headers.get("Content-Length"));
  // Of a compressed transfer the length is that of the compressed bytes.
  const total = length > 0 && !response.headers.get("Content-Encoding") ? length : undefined;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let loaded = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    onBytes(loaded, total);
  }
  return new Blob(parts).arrayBuffer();
}
