import { intAttribute, stringAttribute } from "../ops/attributes.ts";
import { undoesPool } from "../ops/max-pool-indices.ts";
import type { AxisContext, AxisRef } from "./axis-context.ts";
import type { AxisRule } from "./axis-rules.ts";
import { product, Space } from "./space.ts";

/** Batch and channels pass from input 0 to output 0; other axes are blocked with `reason`. */
const channelsPass = (reason: string): AxisRule => {
  return (context) => {
    const x = context.input(0);
    const y = context.output();
    context.tie(x?.[0], y?.[0]);
    context.tie(x?.[1], y?.[1]);
    for (const refs of [x, y]) for (const ref of refs?.slice(2) ?? []) context.block(ref, reason);
  };
};

/** Every axis passes; those for which `reason` gives a text are blocked. */
const allPass = (
  reason: (context: AxisContext, ref: AxisRef, rank: number) => string | undefined,
): AxisRule => {
  return (context) => {
    const x = context.input(0);
    const y = context.output();
    for (const ref of x ?? []) {
      context.tie(ref, y?.[ref.axis]);
      const why = reason(context, ref, x!.length);
      if (why !== undefined) context.block(ref, why);
    }
  };
};

/**
 * Channels are `num_groups` × channels of a group, and a group is normalised as a whole: groups go whole, and the attribute
 * follows. Scale and bias are per channel, in operator sets before 21 per group.
 */
const groupNormalization: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  const groups = intAttribute(context.node, "num_groups", 0);
  const channels = x?.[1]?.space.size;
  if (!x || !y || channels === undefined || groups < 1 || channels % groups !== 0) return;
  for (const ref of x) {
    context.tie(ref, y[ref.axis]);
    if (ref.axis > 1) context.block(ref, "normalises over positions");
  }
  const group = new Space(groups);
  const inner = new Space(channels / groups);
  context.unify(x[1]!.space, product([group, inner]));
  if (groups < channels) {
    inner.block(`GroupNormalization "${context.node.name}" normalises over the channels of a group`);
  }
  for (const i of [1, 2]) {
    const parameter = context.input(i)?.[0];
    context.touch(parameter);
    if (parameter) context.unify(parameter.space, context.view.opset < 21 ? group : x[1]!.space);
  }
  context.size({ kind: "attribute", node: context.node, name: "num_groups", space: group });
};

/** Runtimes divide by the deviation as it is, without ε: of a dead channel that is zero, and the masked model gives NaN. */
const meanVariance = allPass(
  () => "divides by the deviation along this axis, which is zero where channels are dead",
);

/** A channel of the smaller number of channels is block² channels of the larger; a position within the block is none. */
const blocks = (wide: "input" | "output"): AxisRule => {
  return (context) => {
    const x = context.input(0);
    const y = context.output();
    if (x?.length !== 4 || y?.length !== 4) return;
    const [many, few] = wide === "input" ? [x[1]!, y[1]!] : [y[1]!, x[1]!];
    context.tie(x[0], y[0]);
    for (const ref of [...x.slice(2), ...y.slice(2)]) context.block(ref, "moves this axis into channels");
    const size = intAttribute(context.node, "blocksize", 1);
    const block = [tapsOf(context, size), tapsOf(context, size)];
    context.touch(many);
    context.touch(few);
    const channelsFirst = stringAttribute(context.node, "mode", "DCR") === "CRD";
    context.unify(many.space, product(channelsFirst ? [few.space, ...block] : [...block, few.space]));
  };
};

/** Positions that stand on a channel axis. */
function tapsOf({ node }: AxisContext, size: number): Space {
  const taps = new Space(size);
  if (size > 1) taps.block(`${node.op} "${node.name}" takes these channels for positions`);
  return taps;
}

/**
 * Puts maxima back to the places they were taken from. The channels of the maxima, the places and the result are the same
 * ones; see `undoesPool`.
 */
const maxUnpool: AxisRule = (context) => {
  const x = context.input(0);
  const places = context.input(1);
  const y = context.output();
  if (!x || !places || !y) return;
  const back = undoesPool(context.view);
  for (const axis of [0, 1]) {
    context.tie(x[axis], places[axis]);
    context.tie(x[axis], y[axis]);
    if (!back) context.block(x[axis], "puts elements to places that count all channels");
  }
  for (const refs of [x, places, y]) for (const ref of refs.slice(2)) context.block(ref, "unpools this axis");
  const sizes = context.node.inputs[2];
  if (!sizes) return;
  context.touch(context.input(2)?.[0]);
  if (sizes.data) {
    context.size({ kind: "shape", node: context.node, input: 2, spaces: y.map(({ space }) => space) });
  } else context.block(y[1], "takes its shape from a computation");
};

/** `[N, C·taps, L] → [N, C, …image]`: each channel is a run of one column per tap of the kernel. */
const col2Im: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  const kernel = context.view.integers(2);
  if (x?.length !== 3 || !y || !kernel) return;
  context.tie(x[0], y[0]);
  context.touch(x[1]);
  context.touch(y[1]);
  const taps = tapsOf(
    context,
    kernel.reduce((a, b) => a * b, 1),
  );
  context.unify(x[1]!.space, product([y[1]!.space, taps]));
  for (const ref of [x[2]!, ...y.slice(2)]) context.block(ref, "adds up overlapping patches of this axis");
};

/** `[N, C, H, W]` and regions `[R, …]` give `[R, C, …]`. */
const regions: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  context.tie(x?.[1], y?.[1]);
  context.tie(context.input(1)?.[0], y?.[0]);
  context.tie(context.input(2)?.[0], y?.[0]);
  context.block(x?.[0], "picks images of this axis");
  for (const ref of [...(x?.slice(2) ?? []), ...(y?.slice(2) ?? [])]) context.block(ref, "samples this axis");
};

const gridSample: AxisRule = (context) => {
  channelsPass("samples this axis")(context);
  context.tie(context.input(1)?.[0], context.output()?.[0]);
};

/** The index of the largest element depends on the order along its axis. */
const argReduce: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  if (!x || !y) return;
  const axis = context.view.axis("axis", 0, x.length);
  const keeps = intAttribute(context.node, "keepdims", 1) !== 0;
  for (const ref of x) {
    if (ref.axis === axis) context.block(ref, "answers with an index of this axis");
    else context.tie(ref, y[ref.axis > axis && !keeps ? ref.axis - 1 : ref.axis]);
  }
  if (keeps) context.touch(y[axis]);
};

/** Chooses boxes by their index and by the index of their class. */
const boxes: AxisRule = (context) => {
  for (const refs of [context.input(0), context.input(1), context.output()]) {
    for (const ref of refs ?? []) context.block(ref, "answers with indices of boxes and classes");
  }
};

/** How the operators of vision models tie axes; part of `axisRules`. */
export const imageAxisRules: Readonly<Record<string, AxisRule>> = {
  GroupNormalization: groupNormalization,
  LRN: allPass((_, { axis }) => (axis === 1 ? "normalises over neighbouring channels" : undefined)),
  MeanVarianceNormalization: meanVariance,
  DepthToSpace: blocks("input"),
  SpaceToDepth: blocks("output"),
  MaxUnpool: maxUnpool,
  Col2Im: col2Im,
  RoiAlign: regions,
  MaxRoiPool: regions,
  GridSample: gridSample,
  NonMaxSuppression: boxes,
  ArgMax: argReduce,
  ArgMin: argReduce,
};
