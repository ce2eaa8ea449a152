import { int, ints } from "../../graph/attribute.ts";
import type { Dim, Node } from "../../graph/types.ts";
import { intAttribute, intsAttribute, stringAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, VjpTable } from "../vjp.ts";
import { range, unsupported } from "./sizes.ts";
import { type Sliding, slidingOf, spread } from "./sliding.ts";
import { weightGradient } from "./weight-gradient.ts";

/** `[filters, channels / group, …kernel]`, or for ConvTranspose `[channels, filters / group, …kernel]`. */
function weightSizes<T>(ops: DiffOps<T>, { node, inputs }: Applied<T>): readonly number[] {
  const [first, second, ...kernel] = ops.shape(inputs[1]!) ?? [];
  const sizes = [first, second, ...(intsAttribute(node, "kernel_shape") ?? kernel)];
  if (sizes.length > 2 && sizes.every((dim) => typeof dim === "number")) return sizes;
  throw unsupported(node, "the shape of its weight is not known; declare it in the model's value_info.");
}

const groupOf = (node: Node): number => intAttribute(node, "group", 1);

/** ∂L/∂bias: the sum over all axes but that of the channels. */
function biasGradient<T>(ops: DiffOps<T>, { node }: Applied<T>, g: T): T {
  const rank = ops.rank(g);
  if (rank === undefined) throw unsupported(node, "its output has no known rank.");
  return ops.sum(
    g,
    range(rank).filter((axis) => axis !== 1),
    false,
  );
}

function convSliding<T>(ops: DiffOps<T>, at: Applied<T>): Sliding {
  return slidingOf(ops, at.node, at.inputs[0]!, weightSizes(ops, at).slice(2));
}

/**
 * The sliding of ConvTranspose, seen from its output y, over which the windows of its adjoint slide. Where the output is larger than
 * the windows reach, which `output_padding` and `output_shape` can make it, `beyond` says by how much.
 */
function transposedSliding<T>(
  ops: DiffOps<T>,
  at: Applied<T>,
): { readonly sliding: Sliding; readonly beyond: readonly number[] } {
  const { node, inputs } = at;
  const kernel = weightSizes(ops, at).slice(2);
  const spatial = ops.shape(inputs[0]!)?.slice(2);
  if (spatial?.length !== kernel.length) throw unsupported(node, "its input has no known rank.");
  const ones = kernel.map(() => 1);
  const strides = intsAttribute(node, "strides") ?? ones;
  const dilations = intsAttribute(node, "dilations") ?? ones;
  const extra = intsAttribute(node, "output_padding") ?? kernel.map(() => 0);
  const reach = kernel.map((size, i) => dilations[i]! * (size - 1) + 1 + extra[i]!);
  const pads = transposedPads(node, spatial, strides, reach);
  // Padding of the output itself takes the place of padding behind it.
  const ends = pads.map(([, after], i) => after - extra[i]!);
  const sliding = {
    kernel,
    strides,
    dilations,
    before: pads.map(([before]) => before),
    after: ends.map((end) => Math.max(0, end)),
    rest: kernel.map(() => 0),
  };
  return { sliding, beyond: ends.map((end) => Math.max(0, -end)) };
}

/** What is cut off the whole output of ConvTranspose, stride · (in − 1) + reach; at the end, a negative amount is added. */
function transposedPads(
  node: Node,
  spatial: readonly Dim[],
  strides: readonly number[],
  reach: readonly number[],
): readonly (readonly [before: number, after: number])[] {
  const autoPad = stringAttribute(node, "auto_pad", "NOTSET");
  const given = intsAttribute(node, "output_shape")?.slice(-spatial.length);
  const explicit = intsAttribute(node, "pads");
  const halves = (total: number): readonly [number, number] => {
    const half = Math.max(0, total) / 2;
    const before = autoPad === "SAME_UPPER" ? Math.floor(half) : Math.ceil(half);
    return [before, total - before];
  };
  return spatial.map((input, i): readonly [number, number] => {
    if (given && typeof input !== "number")
      throw unsupported(node, "its output_shape is for a symbolic size; give the sizes.");
    if (given) return halves(strides[i]! * (Number(input) - 1) + reach[i]! - given[i]!);
    // To stride · in, whatever the input is.
    if (autoPad.startsWith("SAME")) return halves(Math.max(0, reach[i]! - strides[i]!));
    return explicit && autoPad === "NOTSET" ? [explicit[i]!, explicit[i + spatial.length]!] : [0, 0];
  });
}

/** The cotangent of ConvTranspose where the windows reach. */
function reached<T>(ops: DiffOps<T>, g: T, beyond: readonly number[]): T {
  const axes = range(beyond.length).filter((i) => beyond[i]! > 0);
  return axes.reduce((cut, i) => ops.slice(cut, i + 2, 0, -beyond[i]!), g);
}

/**
 * Convolutions over any number of axes, y = x ⋆ w + b. The transposed convolution is the adjoint of the convolution in x, so each is the
 * other's derivative:
 *
 *     ⟨g, x ⋆ w⟩ = ⟨g ⋆ᵀ w, x⟩
 */
export const convolutions: VjpTable = {
  Conv: [
    (ops, at, g) => spread(ops, g, at.inputs[1]!, convSliding(ops, at), at.inputs[0]!, groupOf(at.node)),
    (ops, at, g) => {
      const [filters, inGroup] = weightSizes(ops, at);
      const group = groupOf(at.node);
      return weightGradient(ops, {
        x: at.inputs[0]!,
        g,
        sliding: convSliding(ops, at),
        group,
        channels: inGroup! * group,
        filters: filters!,
      });
    },
    biasGradient,
  ],
  ConvTranspose: [
    (ops, at, g) => {
      const { sliding, beyond } = transposedSliding(ops, at);
      return ops.call("Conv", [reached(ops, g, beyond), at.inputs[1]!], {
        kernel_shape: ints(sliding.kernel),
        strides: ints(sliding.strides),
        dilations: ints(sliding.dilations),
        pads: ints([...sliding.before, ...sliding.after]),
        group: int(groupOf(at.node)),
      });
    },
    (ops, at, g) => {
      const { sliding, beyond } = transposedSliding(ops, at);
      const [channels, inGroup] = weightSizes(ops, at);
      const group = groupOf(at.node);
      return weightGradient(ops, {
        x: reached(ops, g, beyond),
        g: at.inputs[0]!,
        sliding,
        group,
        channels: inGroup! * group,
        filters: channels!,
      });
    },
    biasGradient,
  ],
};
