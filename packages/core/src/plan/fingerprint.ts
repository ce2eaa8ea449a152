/** One tensor of a model, as far as its fingerprint goes. */
export interface FingerprintEntry {
  readonly name: string;
  readonly shape: readonly (number | string)[];
  readonly dtype: string;
}

/**
 * A short name of a model's architecture: 64-bit FNV-1a over the names, shapes and types of its weights, in any
 * order. Tells models apart by accident, not by intent: it is no cryptographic hash, and weights do not enter it.
 *
 * @returns 16 hexadecimal digits
 */
export function fingerprintOf(entries: readonly FingerprintEntry[]): string {
  const lines = entries.map(({ name, shape, dtype }) => JSON.stringify([name, shape, dtype])).sort();
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(lines.join("\n"))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, "0");
}
