import { assemble } from "./assembler.ts";
import { gemmFunctions } from "./gemm-code.ts";
import { patchFunction } from "./patches-code.ts";
import type { WasmBackend } from "./wasm-backend.ts";

type I32Function = (...args: number[]) => void;

/** Our own WebAssembly functions, working in place on the backend's memory. */
export interface Native {
  readonly pack: I32Function;
  readonly multiply: I32Function;
  readonly gather: I32Function;
  readonly scatter: I32Function;
}

const natives = new WeakMap<object, Native | undefined>();

/**
 * The functions for a backend, or nothing where they cannot be had: no SIMD, or a memory shared between threads
 * (there tfjs's own threaded kernels are used).
 */
export function nativeOf(backend: WasmBackend): Native | undefined {
  if (!natives.has(backend.wasm)) natives.set(backend.wasm, instantiate(backend));
  return natives.get(backend.wasm);
}

function instantiate(backend: WasmBackend): Native | undefined {
  const memory = Object.values(backend.wasm.asm ?? {}).find((value) => value instanceof WebAssembly.Memory);
  if (memory === undefined || !(memory.buffer instanceof ArrayBuffer)) return undefined;
  const code = [true, false].map(nativeCode).find((bytes) => WebAssembly.validate(bytes));
  if (code === undefined) return undefined;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } });
  // The module is assembled with exactly these exports.
  return instance.exports as unknown as Native;
}

/** @param fused with relaxed SIMD's multiply–add */
function nativeCode(fused: boolean): Uint8Array<ArrayBuffer> {
  return assemble([...gemmFunctions({ fused }), patchFunction("gather"), patchFunction("scatter")]);
}
