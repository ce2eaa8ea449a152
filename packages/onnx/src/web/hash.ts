import { DgateError } from "@dgate/core";

/**
 * SHA-256 as 64 lower-case hexadecimal digits.
 * @throws DgateError `UNSUPPORTED` in a page without WebCrypto, which browsers give to HTTPS and localhost only.
 */
export async function sha256(bytes: Uint8Array): Promise<string> {
  // Absent in insecure pages, whatever the types say.
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (!subtle) {
    throw new DgateError(
      "UNSUPPORTED",
      "checking and caching by hash need a secure page: serve it by HTTPS or from localhost.",
    );
  }
  const digest = await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>); // shared memory is refused at run time
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
