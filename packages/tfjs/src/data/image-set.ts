/** Labelled images, pixels in [0, 1], row by row, channels last: what the data sources of this package give. */
export interface ImageSet {
  /** `[count, height, width, channels]`, row-major, in [0, 1]. */
  readonly images: Float32Array;
  /** `[count]`, class numbers from 0. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly classes: number;
}
