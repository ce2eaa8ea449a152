/** A file for the reader, as an address of this page; to be given back when it is no longer offered. */
export const fileAddress = (
  content: Blob | Uint8Array<ArrayBuffer> | string,
  type = "application/octet-stream",
): string => URL.createObjectURL(new Blob([content], { type }));

/** A browser reads the address some time after the click, and does not tell when. */
const readByMs = 60_000;

/** Lets the reader save a file, and gives its address back. */
export function saveFile(name: string, address: string): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), readByMs);
}
