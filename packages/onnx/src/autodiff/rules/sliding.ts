import { int, ints } from "../../graph/attribute.ts";
import type { Node } from "../../graph/types.ts";
import { intAttribute } from "../../ops/attributes.ts";
import { slidOutput, windowOf } from "../../ops/window.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import { product, range, unsupported } from "./sizes.ts";

/** How the windows of a node lie on the spatial axes of its input. All lists are per spatial axis. */
export interface Sliding {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before the input. */
  readonly before: readonly number[];
  /** Padding behind the input, as much as windows see. */
  readonly after: readonly number[];
  /** Elements at the end of the input that no window sees; `undefined` where the size is not known and the stride is not 1. */
  readonly rest: readonly (number | undefined)[];
}

/**
 * The sliding of a node with window attributes over `x` `[batch, channels, …spatial]`.
 *
 * @throws DgateError `UNSUPPORTED` where it depends on a size that is not known
 */
export function slidingOf<T>(ops: DiffOps<T>, node: Node, x: T, kernel: readonly number[]): Sliding {
  const spatial = ops.shape(x)?.slice(2);
  if (spatial?.length !== kernel.length) throw unsupported(node, "its input has no known rank.");
  const window = windowOf(node, kernel, spatial);
  const outputs = slidOutput(node, window, spatial);
  const ceil = intAttribute(node, "ceil_mode", 0) !== 0;
  const ends = kernel.map((size, i): readonly [after: number, rest: number | undefined] => {
    const pads = window.pads[i];
    const stride = window.strides[i]!;
    const [input, output] = [spatial[i], outputs[i]];
    if (!pads || (ceil && stride > 1 && typeof input !== "number")) {
      throw unsupported(
        node,
        `its ${ceil ? "ceil_mode" : "auto_pad"} depends on a symbolic size; give the sizes.`,
      );
    }
    if (typeof input !== "number" || typeof output !== "number")
      return [pads[1], stride === 1 ? 0 : undefined];
    const missing = stride * (output - 1) + extent(size, window.dilations[i]!) - input - pads[0];
    return [Math.max(0, missing), Math.max(0, -missing)];
  });
  return {
    kernel,
    strides: window.strides,
    dilations: window.dilations,
    before: window.pads.map((pads) => pads![0]), // checked above
    after: ends.map(([after]) => after),
    rest: ends.map(([, rest]) => rest),
  };
}

const extent = (kernel: number, dilation: number): number => dilation * (kernel - 1) + 1;

/** Padding of the spatial axes `[batch, channels, …spatial]` by a number. */
export function padSpatial<T>(
  ops: DiffOps<T>,
  x: T,
  before: readonly number[],
  after: readonly number[],
  fill = 0,
): T {
  if ([...before, ...after].every((amount) => amount === 0)) return x;
  return ops.call("Pad", [x, ops.int64([0, 0, ...before, 0, 0, ...after]), ops.scalar(fill, x)]);
}

/** What each element of the kernel, in row-major order, sees of the padded input: strided slices `[…, …outputs]`. */
export function taps<T>(ops: DiffOps<T>, padded: T, { kernel, strides, dilations }: Sliding): readonly T[] {
  const axes = ops.int64(kernel.map((_, i) => i + 2));
  return range(product(kernel)).map((tap) => {
    const at = positions(tap, kernel);
    const starts = at.map((k, i) => k * dilations[i]!);
    // From the end, so that no size is needed: the last window ends where the last element of the kernel is.
    const ends = at.map((k, i) =>
      k === kernel[i]! - 1 ? Number.MAX_SAFE_INTEGER : (k + 1 - kernel[i]!) * dilations[i]!,
    );
    if (product(kernel) === 1 && strides.every((stride) => stride === 1)) return padded;
    return ops.call("Slice", [padded, ops.int64(starts), ops.int64(ends), axes, ops.int64(strides)]);
  });
}

/** Row-major index to one index per axis. */
function positions(index: number, sizes: readonly number[]): number[] {
  const at: number[] = [];
  let rest = index;
  for (const size of sizes.toReversed()) {
    at.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return at;
}

/**
 * The adjoint of sliding: `y` `[batch, channels, …outputs]` spread over `[batch, inputs, …spatial]` by a kernel
 * `[channels, inputs / group, …kernel]`.
 *
 * @param like a tensor with the spatial sizes of the result
 */
export function spread<T>(
  ops: DiffOps<T>,
  y: T,
  weights: T,
  { kernel, strides, dilations, before, after, rest }: Sliding,
  like: T,
  group = 1,
): T {
  // What is not known of the rest is less than a stride, and is cut off when the graph runs.
  const whole = ops.call("ConvTranspose", [y, weights], {
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
    pads: ints([...before, ...after]),
    output_padding: ints(rest.map((size, i) => size ?? strides[i]! - 1)),
    group: int(group),
  });
  const open = range(kernel.length).filter((i) => rest[i] === undefined);
  if (open.length === 0) return whole;
  const ends = ops.concat(
    open.map((i) => ops.sizeOf(like, i + 2)),
    0,
  );
  return ops.call("Slice", [whole, ops.int64(open.map(() => 0)), ends, ops.int64(open.map((i) => i + 2))]);
}
