import { DgateError } from "@dgate/core";
import { type Engine, messageOf } from "./engine.ts";
import { printBytes } from "./memory.ts";

// SafeInt: a size that 32 bits of WebAssembly do not hold.
const telling =
  /bad_alloc|SafeInt|out of memory|failed to allocate|allocat\w* (?:failed|memory)|memory access out of bounds|OOM|RangeError: (?:Array buffer|Invalid typed array)/i;

/** The address space of 32-bit WebAssembly. */
const wasmBytes = 2 ** 32;

/**
 * Refuses a step that cannot fit, rather than let the runtime fill all memory first.
 * @throws DgateError `MEMORY`
 */
export function checkWasmMemory(provider: Engine["provider"], bytes: number, step: number): void {
  if (provider !== "wasm" || bytes <= wasmBytes) return;
  throw new DgateError(
    "MEMORY",
    `train: step ${step} needs about ${printBytes(bytes)}, but WebAssembly ends at 4 GB; ${remedy}.`,
  );
}

const remedy = "take smaller batches or shorter sequences, or train the gates alone";

/** The error of a step that the runtime failed: with the memory it needs, if that is why. */
export function outOfMemory(
  cause: unknown,
  { provider }: Pick<Engine, "provider">,
  bytes: number,
  step: number,
): DgateError {
  if (cause instanceof DgateError) return cause;
  const message = messageOf(cause);
  if (!telling.test(message) && !telling.test(String(cause))) {
    return new DgateError("CHECK", `train: onnxruntime cannot run step ${step}: ${message}`, { cause });
  }
  const limit = provider === "wasm" ? ", and WebAssembly ends at 4 GB" : "";
  return new DgateError(
    "MEMORY",
    `train: not enough memory for step ${step}: it needs about ${printBytes(bytes)}${limit} (${message}); ${remedy}.`,
    { cause },
  );
}
