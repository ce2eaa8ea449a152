import { product, Space, sum } from "./space.ts";

/** An axis whose elements are quantized in blocks: they can only go block by block. */
export interface BlockedAxis {
  /** All elements: blocks × elements of a block, and what is left over at the end. */
  readonly elements: Space;
  /** One index per block, the incomplete last one included. */
  readonly blocks: Space;
}

/**
 * The spaces of an axis of `size` elements in blocks of `blockSize`. The elements of a block cannot be parted, for `reason`;
 * a last block that is not full stays where it is.
 */
export function blockedAxis(size: number, blockSize: number, reason: string): BlockedAxis {
  const full = Math.floor(size / blockSize);
  const rest = size % blockSize;
  const fullBlocks = new Space(full);
  const inner = new Space(blockSize);
  inner.block(reason);
  const whole = product([fullBlocks, inner]);
  if (rest === 0) return { elements: whole, blocks: fullBlocks };
  const tail = new Space(rest);
  tail.block(reason);
  if (full === 0) return { elements: tail, blocks: new Space(1) };
  return { elements: sum([whole, tail]), blocks: sum([fullBlocks, new Space(1)]) };
}
