import { DgateError } from "@dgate/core";
import type { OrtModule } from "@dgate/onnx/web";
import webgpuCode from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import webgpuBinary from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import wasmCode from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmBinary from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { counted, type OnBytes } from "./counted.ts";

const absolute = (path: string): string => new URL(path, import.meta.url).href;

const runtimes = {
  wasm: { load: () => import("onnxruntime-web/wasm"), code: wasmCode, binary: wasmBinary },
  webgpu: { load: () => import("onnxruntime-web/webgpu"), code: webgpuCode, binary: webgpuBinary },
} as const;

/** Threads for models of a page: what onnxruntime-web takes where the page may share memory. The first model of a worker fixes them for all. */
export const threadsOfPage = (): number =>
  globalThis.crossOriginIsolated ? Math.max(1, Math.min(4, Math.ceil(navigator.hardwareConcurrency / 2))) : 1;

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
  const failed = (why: string, cause?: unknown): DgateError =>
    new DgateError(
      "IO",
      `The runtime ${address} could not be fetched (${why}). Check the connection and try again.`,
      { cause },
    );
  try {
    const response = await fetch(address);
    if (!response.ok) throw failed(`HTTP ${response.status}`);
    return await counted(response, onBytes).arrayBuffer();
  } catch (cause) {
    throw cause instanceof DgateError
      ? cause
      : failed(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
