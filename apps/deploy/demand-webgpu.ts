import { DgateError } from "@dgate/core";
import { webgpuObstacle } from "@dgate/onnx/web";

/**
 * Looks for a GPU before a runtime of 27 MB is fetched for it.
 *
 * @throws DgateError `UNSUPPORTED` with a remedy for readers of the page
 */
export async function demandWebGpu(): Promise<void> {
  const obstacle = await webgpuObstacle();
  if (!obstacle) return;
  // A browser that has it hides it from pages of plain http.
  const elsewhere = globalThis.isSecureContext ? "in a browser that has one" : "over https";
  throw new DgateError(
    "UNSUPPORTED",
    `No GPU can be used: ${obstacle}. Run on WASM, or open the page ${elsewhere}.`,
  );
}
