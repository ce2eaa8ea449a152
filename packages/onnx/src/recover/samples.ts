import { DgateError, type RandomGenerator } from "@dgate/core";
import type { Node } from "../graph/graph.ts";
import { describeNode } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import { windowOf } from "../ops/window.ts";

/** An activation as numbers, row-major. */
export interface Activation {
  readonly shape: readonly number[];
  readonly numbers: ArrayLike<number>;
}

/** How the samples of a layer lie in its input and output: one sample per row, or per output position of a Conv. */
export interface Samples {
  readonly count: number;
  /** Writes the inputs of sample `row` in group `group` to the front of `out`, in the order of the weight's own axes. */
  readonly inputs: (row: number, group: number, out: Float64Array) => void;
  /** Output channel `channel` of sample `row`. */
  readonly output: (row: number, channel: number) => number;
}

/**
 * The samples of a Gemm, MatMul or Conv in one run.
 *
 * @param x input 0 of the node
 * @param y what it is to give: the output, channels as in the dense model
 * @param weight shape of the node's weight
 * @returns `undefined` if input and output do not have the same samples (an axis that is no channel was cut)
 */
export function samplesOf(
  node: Node,
  x: Activation,
  y: Activation,
  weight: readonly number[],
): Samples | undefined {
  return node.op === "Conv" ? convSamples(node, x, y, weight) : rowSamples(node, x, y);
}

/** `[…, k] → […, m]`; the input of a Gemm may be transposed. */
function rowSamples(node: Node, x: Activation, y: Activation): Samples | undefined {
  const transposed = node.op === "Gemm" && intAttribute(node, "transA", 0) !== 0;
  const k = (transposed ? x.shape[0] : x.shape.at(-1)) ?? 0;
  const m = y.shape.at(-1) ?? 0;
  const count = k === 0 ? 0 : x.numbers.length / k;
  if (m === 0 || y.numbers.length / m !== count) return undefined;
  const [step, stride] = transposed ? [1, count] : [k, 1];
  return {
    count,
    inputs(row, _group, out) {
      const from = row * step;
      for (let c = 0; c < k; c++) out[c] = x.numbers[from + c * stride]!;
    },
    output: (row, channel) => y.numbers[row * m + channel]!,
  };
}

/**
 * `[N, C, …] → [N, M, …]`: the inputs of an output position are the elements under the kernel (im2col), channel by channel
 * and tap by tap, zero in the padding.
 */
function convSamples(
  node: Node,
  x: Activation,
  y: Activation,
  weight: readonly number[],
): Samples | undefined {
  const [images = 0, channels = 0, ...spatial] = x.shape;
  const [outImages = 0, filters = 0, ...places] = y.shape;
  const kernel = weight.slice(2);
  if (images !== outImages || spatial.length !== kernel.length) return undefined;
  const taps = kernel.reduce((a, b) => a * b, 1);
  const size = spatial.reduce((a, b) => a * b, 1);
  const positions = places.reduce((a, b) => a * b, 1);
  const perGroup = channels / intAttribute(node, "group", 1);
  const locate = tapLocator(node, kernel, spatial, places);
  const offsets = new Int32Array(taps);
  return {
    count: images * positions,
    inputs(row, group, out) {
      const image = Math.floor(row / positions);
      locate(row % positions, offsets);
      for (let c = 0; c < perGroup; c++) {
        const plane = (image * channels + group * perGroup + c) * size;
        for (let t = 0; t < taps; t++) {
          const at = offsets[t]!;
          out[c * taps + t] = at < 0 ? 0 : x.numbers[plane + at]!;
        }
      }
    },
    output(row, channel) {
      const image = Math.floor(row / positions);
      return y.numbers[(image * filters + channel) * positions + (row % positions)]!;
    },
  };
}

/** Finds the element of a channel under each tap at an output position; −1 in the padding. */
function tapLocator(
  node: Node,
  kernel: readonly number[],
  spatial: readonly number[],
  places: readonly number[],
): (position: number, offsets: Int32Array) => void {
  const { strides, dilations, pads } = windowOf(node, kernel, spatial);
  const axes = kernel.map((_, i) => i);
  return (position, offsets) => {
    const origin: number[] = [];
    let rest = position;
    for (const i of axes.toReversed()) {
      origin[i] = (rest % places[i]!) * strides[i]! - (pads[i]?.[0] ?? 0);
      rest = Math.floor(rest / places[i]!);
    }
    for (let tap = 0; tap < offsets.length; tap++) {
      let [left, at, stride] = [tap, 0, 1];
      for (const i of axes.toReversed()) {
        const coordinate = origin[i]! + (left % kernel[i]!) * dilations[i]!;
        left = Math.floor(left / kernel[i]!);
        at = at < 0 || coordinate < 0 || coordinate >= spatial[i]! ? -1 : at + coordinate * stride;
        stride *= spatial[i]!;
      }
      offsets[tap] = at;
    }
  };
}

/**
 * `limit` different rows of `count`, ascending, every subset equally likely (R. Floyd's algorithm; Bentley, "A sample of
 * brilliance", 1987); all of them if there are no more.
 */
export function chooseRows(count: number, limit: number, random: RandomGenerator): number[] {
  if (count <= limit) return Array.from({ length: count }, (_, row) => row);
  const chosen = new Set<number>();
  for (let top = count - limit; top < count; top++) {
    const row = random.integer(top + 1);
    chosen.add(chosen.has(row) ? top : row);
  }
  return [...chosen].sort((a, b) => a - b);
}

/** @throws DgateError `CHECK` if the dense output does not have the channels that the cut speaks of */
export function checkChannels(node: Node, y: Activation, channels: number): void {
  const found = node.op === "Conv" ? y.shape[1] : y.shape.at(-1);
  if (found === channels) return;
  throw new DgateError(
    "CHECK",
    `recover: the dense ${describeNode(node)} gives [${y.shape.join(", ")}], expected ${channels} channels. ` +
      "Was the pruned model made from this one?",
  );
}
