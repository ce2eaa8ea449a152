import { type BackendChoice, useBackend } from "@dgate/tfjs";
import plain from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url";
import simd from "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url";

const absolute = (path: string): string => new URL(path, import.meta.url).href;

/** Starts tfjs on the GPU, else on WASM; its files come from this site. */
export async function startTfjs(wanted: "auto" | "webgpu" | "wasm"): Promise<BackendChoice> {
  const { setWasmPaths } = await import("@tensorflow/tfjs-backend-wasm");
  setWasmPaths({
    "tfjs-backend-wasm.wasm": absolute(plain),
    "tfjs-backend-wasm-simd.wasm": absolute(simd),
    // It has to have a path, but threads are never started: see `useBackend`.
    "tfjs-backend-wasm-threaded-simd.wasm": absolute(simd),
  });
  return useBackend(wanted);
}
