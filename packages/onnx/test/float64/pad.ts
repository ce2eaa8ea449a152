import type { Call, Kernel } from "./call.ts";
import { takeAlong } from "./strided.ts";
import type { Float64Tensor } from "./tensor.ts";

const wrapped = (at: number, period: number): number => ((at % period) + period) % period;

/** Where each mode reads position `at` of an axis of `size` elements; −1 is the constant. */
const sources: { readonly [mode: string]: (at: number, size: number) => number } = {
  constant: (at, size) => (at < 0 || at >= size ? -1 : at),
  edge: (at, size) => Math.max(0, Math.min(size - 1, at)),
  // 0 1 2 3 2 1 | 0 1 2 …: the border is not repeated.
  reflect: (at, size) => {
    if (size === 1) return 0;
    const period = 2 * (size - 1);
    const inside = wrapped(at, period);
    return Math.min(inside, period - inside);
  },
  wrap: (at, size) => wrapped(at, size),
};

/** Negative pads cut. */
function pad(call: Call): Float64Tensor {
  const mode = call.string("mode", "constant");
  const source = sources[mode] ?? call.fail(`mode ${mode} is not known`);
  const pads = call.numbers(1) ?? call.ints("pads") ?? call.fail("no pads");
  const fill = call.inputs[2]?.data[0] ?? call.float("value", 0);
  let x = call.input(0);
  const axes = call.axes(3, x.shape.length) ?? [...x.shape.keys()];
  for (const [i, axis] of axes.entries()) {
    const [before, after] = [pads[i]!, pads[i + axes.length]!];
    if (before === 0 && after === 0) continue;
    const size = x.shape[axis]!;
    const indices = Array.from({ length: before + size + after }, (_, at) => source(at - before, size));
    x = takeAlong(x, axis, indices, fill);
  }
  return x;
}

/** Pad, in all of its modes. */
export const padKernels: { readonly [op: string]: Kernel } = { Pad: pad };
