/** Lets the reader save bytes as a file. */
export function saveFile(
  name: string,
  content: Uint8Array<ArrayBuffer> | string,
  type = "application/octet-stream",
): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has the blob by then.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
