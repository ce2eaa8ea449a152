import { DgateError } from "@dgate/core";

/**
 * Looks for a GPU before a runtime of 27 MB is fetched for it, and tells readers what `load` tells programmers.
 *
 * @throws DgateError `UNSUPPORTED`
 */
export async function demandWebGpu(): Promise<void> {
  // TypeScript has no types for it without a package.
  const { gpu } = navigator as { readonly gpu?: { requestAdapter(): Promise<unknown> } };
  if (await gpu?.requestAdapter().catch(() => undefined)) return;
  const remedy = globalThis.isSecureContext
    ? "run on WASM, or open the page in a browser that has it"
    : "run on WASM, or open the page over https";
  throw new DgateError(
    "UNSUPPORTED",
    gpu ? `This browser offers no GPU: ${remedy}.` : `There is no WebGPU here: ${remedy}.`,
  );
}
