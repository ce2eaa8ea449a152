import type { backend_util } from "@tensorflow/tfjs";
import { nativeOf } from "./native.ts";
import { patchParameters } from "./patches-code.ts";
import type { WasmBackend } from "./wasm-backend.ts";

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

/**
 * Patches of the images, one row per output position:
 * `[images · outHeight · outWidth, filterHeight · filterWidth · inChannels]`, zeros outside the image.
 */
export function gatherPatches(
  backend: WasmBackend,
  images: number,
  geometry: Geometry,
  input: Float32Array,
  patches: Float32Array,
): void {
  patches.fill(0);
  const native = nativeOf(backend);
  if (native !== undefined) return native.gather(...parameters(images, geometry, input, patches));
  forEachRun(images, geometry, (position, row, col, pixel, count) => {
    const to = entryOf(geometry, position, row, col);
    const from = pixel * geometry.inChannels;
    patches.set(input.subarray(from, from + count * geometry.inChannels), to);
  });
}

/** The transpose of `gatherPatches`: every pixel is the sum of the patch entries that came from it. */
export function scatterPatches(
  backend: WasmBackend,
  images: number,
  geometry: Geometry,
  patches: Float32Array,
  input: Float32Array,
): void {
  input.fill(0);
  const native = nativeOf(backend);
  if (native !== undefined) return native.scatter(...parameters(images, geometry, input, patches));
  forEachRun(images, geometry, (position, row, col, pixel, count) => {
    const from = entryOf(geometry, position, row, col);
    const to = pixel * geometry.inChannels;
    for (let i = 0; i < count * geometry.inChannels; i += 1)
      input[to + i] = input[to + i]! + patches[from + i]!;
  });
}

function entryOf(
  { filterHeight, filterWidth, inChannels }: Geometry,
  position: number,
  row: number,
  col: number,
): number {
  return ((position * filterHeight + row) * filterWidth + col) * inChannels;
}

/** What `gather` and `scatter` take; both arrays are views of the backend's memory. */
function parameters(
  images: number,
  geometry: Geometry,
  input: Float32Array,
  patches: Float32Array,
): number[] {
  const values = {
    ...geometry,
    ...geometry.padInfo,
    images,
    pixelBytes: 4 * geometry.inChannels,
    input: input.byteOffset,
    patches: patches.byteOffset,
  };
  return patchParameters.map((name) => values[name]);
}
