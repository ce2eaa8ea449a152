/** Edge of the square that is turned at once: both sides of it stay in the first cache. */
const tile = 32;

/** Writes the transpose of a row-major `[rows, columns]` matrix into `target`, which is then `[columns, rows]`. */
export function transposeInto<T extends Float32Array | Int8Array | Uint8Array>(
  source: ArrayLike<number>,
  rows: number,
  columns: number,
  target: T,
): T {
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++)
          target[column * rows + row] = source[row * columns + column]!;
      }
    }
  }
  return target;
}
