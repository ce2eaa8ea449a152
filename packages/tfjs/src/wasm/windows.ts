import type { backend_util } from "@tensorflow/tfjs";

/** What of tfjs's convolution geometry the window loops read; the data is channels-last. */
export type Geometry = Pick<
  backend_util.Conv2DInfo,
  | "inHeight"
  | "inWidth"
  | "inChannels"
  | "outHeight"
  | "outWidth"
  | "filterHeight"
  | "filterWidth"
  | "strideHeight"
  | "strideWidth"
  | "padInfo"
>;

/**
 * Visits the runs of input that windows touch: for every image, output position and filter row, the columns of the
 * filter that fall inside the image. Channels of one run are contiguous, in the input as in the patch.
 *
 * @param visit called with the flat output position, the filter row, the first filter column inside the image, the
 *              flat input position (image, row, column) under it, and how many columns are inside
 */
export function forEachRun(
  images: number,
  geometry: Geometry,
  visit: (position: number, filterRow: number, filterCol: number, pixel: number, count: number) => void,
): void {
  const { inHeight, inWidth, outHeight, outWidth, filterHeight, filterWidth, strideHeight, strideWidth } =
    geometry;
  const { top, left } = geometry.padInfo;
  let position = 0;
  for (let image = 0; image < images; image += 1) {
    for (let y = 0; y < outHeight; y += 1) {
      const firstRow = y * strideHeight - top;
      for (let x = 0; x < outWidth; x += 1, position += 1) {
        const firstCol = x * strideWidth - left;
        const from = Math.max(0, -firstCol);
        const count = Math.min(filterWidth, inWidth - firstCol) - from;
        if (count <= 0) continue;
        for (let row = Math.max(0, -firstRow); row < filterHeight && firstRow + row < inHeight; row += 1) {
          visit(position, row, from, (image * inHeight + firstRow + row) * inWidth + firstCol + from, count);
        }
      }
    }
  }
}

/** Patches of the images, one row per output position: `[images · outHeight · outWidth, filterHeight · filterWidth · inChannels]`. */
export function gatherPatches(
  images: number,
  geometry: Geometry,
  input: Float32Array,
  patches: Float32Array,
): void {
  const { filterHeight, filterWidth, inChannels: channels } = geometry;
  patches.fill(0);
  forEachRun(images, geometry, (position, row, col, pixel, count) => {
    const to = ((position * filterHeight + row) * filterWidth + col) * channels;
    const from = pixel * channels;
    const length = count * channels;
    for (let i = 0; i < length; i += 1) patches[to + i] = input[from + i]!;
  });
}

/** The transpose of `gatherPatches`: adds every patch entry to the pixel it came from. */
export function scatterPatches(
  images: number,
  geometry: Geometry,
  patches: Float32Array,
  input: Float32Array,
): void {
  const { filterHeight, filterWidth, inChannels: channels } = geometry;
  input.fill(0);
  forEachRun(images, geometry, (position, row, col, pixel, count) => {
    const from = ((position * filterHeight + row) * filterWidth + col) * channels;
    const to = pixel * channels;
    const length = count * channels;
    for (let i = 0; i < length; i += 1) input[to + i] = input[to + i]! + patches[from + i]!;
  });
}
