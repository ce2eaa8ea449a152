export { registerWasmKernels } from "./wasm/register.ts";
