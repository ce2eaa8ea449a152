import type { Call } from "./call.ts";
import { sizeOf, stridesOf } from "./tensor.ts";

/** A window that slides over spatial axes; all lists are per axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
  /** Size of what the window slides over. */
  readonly input: readonly number[];
  /** Number of positions of the window. */
  readonly output: readonly number[];
}

/** Marks of `windowTable` for what lies in the padding, and past it (with ceil_mode). */
export const inPadding = -1;
export const pastPadding = -2;

/** Strides and dilations of a node, and how far its kernel reaches. */
export function kernelReach(
  call: Call,
  kernel: readonly number[],
): Pick<Window, "strides" | "dilations"> & { readonly extent: readonly number[] } {
  const strides = call.ints("strides") ?? kernel.map(() => 1);
  const dilations = call.ints("dilations") ?? kernel.map(() => 1);
  return { strides, dilations, extent: kernel.map((size, i) => dilations[i]! * (size - 1) + 1) };
}

/** The window of Conv or a pooling over `input`. */
export function slidingWindow(call: Call, kernel: readonly number[], input: readonly number[]): Window {
  const { strides, dilations, extent } = kernelReach(call, kernel);
  const pad = call.string("auto_pad", "NOTSET");
  if (pad.startsWith("SAME")) {
    const output = input.map((size, i) => Math.ceil(size / strides[i]!));
    const whole = output.map((size, i) => Math.max(0, (size - 1) * strides[i]! + extent[i]! - input[i]!));
    const less = whole.map((size) => Math.floor(size / 2));
    const more = whole.map((size) => Math.ceil(size / 2));
    const [begin, end] = pad === "SAME_UPPER" ? [less, more] : [more, less];
    return { kernel, strides, dilations, begin, end, input, output };
  }
  const pads = pad === "VALID" ? undefined : call.ints("pads");
  const begin = kernel.map((_, i) => pads?.[i] ?? 0);
  const end = kernel.map((_, i) => pads?.[i + kernel.length] ?? 0);
  const output = kernel.map((_, i) => {
    const steps = (input[i]! + begin[i]! + end[i]! - extent[i]!) / strides[i]!;
    if (call.int("ceil_mode", 0) === 0) return Math.floor(steps) + 1;
    // A window that would start in the padding behind the input is left out.
    const count = Math.ceil(steps) + 1;
    return (count - 1) * strides[i]! < input[i]! + begin[i]! ? count : count - 1;
  });
  return { kernel, strides, dilations, begin, end, input, output };
}

/** `[kernel positions, output positions]`: the flat input position that is read there, or a mark. */
export function windowTable(window: Window): Int32Array {
  const { kernel, strides, dilations, begin, end, input, output } = window;
  const steps = stridesOf(input);
  let table = Int32Array.of(0);
  let [taps, places] = [1, 1];
  for (let axis = 0; axis < kernel.length; axis++) {
    const next = new Int32Array(taps * kernel[axis]! * places * output[axis]!);
    let to = 0;
    for (let tap = 0; tap < taps; tap++) {
      for (let k = 0; k < kernel[axis]!; k++) {
        for (let place = 0; place < places; place++) {
          const before = table[tap * places + place]!;
          for (let o = 0; o < output[axis]!; o++) {
            const at = o * strides[axis]! + k * dilations[axis]! - begin[axis]!;
            const past = at >= input[axis]! + end[axis]!;
            const mark = past ? pastPadding : at < 0 || at >= input[axis]! ? inPadding : 0;
            next[to++] = before < 0 || mark < 0 ? Math.min(before, mark) : before + at * steps[axis]!;
          }
        }
      }
    }
    table = next;
    taps *= kernel[axis]!;
    places *= output[axis]!;
  }
  return table;
}

/** Number of kernel positions and of output positions. */
export function windowSizes(window: Window): readonly [taps: number, places: number] {
  return [sizeOf(window.kernel), sizeOf(window.output)];
}
