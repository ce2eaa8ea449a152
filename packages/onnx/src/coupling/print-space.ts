import type { Space } from "./space.ts";

/** `12 × 64`, `(32 + 32) × 49`, `batch`: how an axis is made of channel spaces; `!` marks a leaf that is blocked. */
export function printSpace(space: Space): string {
  const { parts } = space;
  if (!parts) {
    const { size, symbol, barriers } = space.root;
    return `${size ?? symbol ?? "?"}${barriers.length > 0 ? "!" : ""}`;
  }
  const inner = parts.spaces.map((part) =>
    part.parts?.kind === "sum" ? `(${printSpace(part)})` : printSpace(part),
  );
  return inner.join(parts.kind === "product" ? " × " : " + ");
}
