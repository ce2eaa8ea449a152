import type { Call, Kernel } from "./call.ts";
import { elementTargets, sliceTargets } from "./indexing.ts";
import { type Float64Tensor, sizeOf } from "./tensor.ts";

const reductions: { readonly [name: string]: (before: number, update: number) => number } = {
  none: (_, update) => update,
  add: (before, update) => before + update,
  mul: (before, update) => before * update,
  max: Math.max,
  min: Math.min,
};

/** Runs of updates merged into a copy of the input, each from one of `starts` on. */
function scattered(call: Call, x: Float64Tensor, starts: Float64Array, run: number): Float64Tensor {
  const name = call.string("reduction", "none");
  const merge = reductions[name] ?? call.fail(`reduction ${name} is not known`);
  const updates = call.input(2).data;
  const data = x.data.slice();
  starts.forEach((start, i) => {
    for (let k = 0; k < run; k++) data[start + k] = merge(data[start + k]!, updates[i * run + k]!);
  });
  return { ...x, data };
}

/** Operators that write by index. */
export const scatterKernels: { readonly [op: string]: Kernel } = {
  ScatterElements: (call) => {
    const x = call.input(0);
    const axis = call.axis("axis", 0, x.shape.length);
    return scattered(call, x, elementTargets(call, call.input(1), x.shape, axis), 1);
  },
  ScatterND: (call) => {
    const [x, indices] = [call.input(0), call.input(1)];
    const run = sizeOf(x.shape.slice(indices.shape.at(-1)));
    return scattered(call, x, sliceTargets(call, indices, x.shape, 0), run);
  },
};
