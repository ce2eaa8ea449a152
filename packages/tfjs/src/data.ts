export { parseCifar10 } from "./data/cifar.ts";
export { digits, type DigitOptions } from "./data/digits.ts";
export { type IdxArray, imagesFromIdx, parseIdx } from "./data/idx.ts";
export type { ImageSet } from "./data/image-set.ts";
