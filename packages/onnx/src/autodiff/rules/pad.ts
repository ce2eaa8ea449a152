import type { Dim, Node } from "../../graph/types.ts";
import { frontAxis, stringAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpTable } from "../vjp.ts";
import { range, unsupported } from "./sizes.ts";

/** Padding of one axis; a negative amount cuts. */
interface AxisPad {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
}

/** The pads of a node, if they do not depend on the run. */
function knownPads<T>(ops: DiffOps<T>, { node, inputs }: Applied<T>): readonly AxisPad[] | undefined {
  const rank = ops.rank(inputs[0]!);
  const amounts = ops.integers(inputs[1]!);
  const listed = inputs[3] === undefined ? rank && range(rank) : ops.integers(inputs[3]);
  if (rank === undefined) throw unsupported(node, "its input has no known rank.");
  if (!amounts || !listed) return undefined;
  const pads = listed.map((axis, i) => ({
    axis: frontAxis(axis, rank),
    before: amounts[i]!,
    after: amounts[i + listed.length]!,
  }));
  return pads.filter(({ before, after }) => before !== 0 || after !== 0);
}

const data: Vjp = (ops, at, g) => {
  const { node, inputs } = at;
  const mode = stringAttribute(node, "mode", "constant");
  const pads = knownPads(ops, at);
  if (mode === "constant")
    return pads ? cut(ops, g, pads) : ops.call("Pad", [g, ops.neg(inputs[1]!), undefined, inputs[3]]);
  if (!pads) throw unsupported(node, `its pads are computed; in mode "${mode}" they must be constant.`);
  const source = Object.hasOwn(sources, mode) ? sources[mode] : undefined;
  if (!source) throw unsupported(node, `mode "${mode}" is not known.`);
  const shape = ops.shape(inputs[0]!)!; // knownPads has checked it
  return pads.reduce((y, pad) => folded(ops, node, y, pad, shape[pad.axis], source), g);
};

/** What is left of `g` without the padding; what the node has cut off has no part in it. */
function cut<T>(ops: DiffOps<T>, g: T, pads: readonly AxisPad[]): T {
  const padded = pads.filter(({ before, after }) => before > 0 || after > 0);
  const inside =
    padded.length === 0
      ? g
      : ops.call("Slice", [
          g,
          ops.int64(padded.map(({ before }) => Math.max(0, before))),
          ops.int64(padded.map(({ after }) => (after > 0 ? -after : Number.MAX_SAFE_INTEGER))),
          ops.int64(padded.map(({ axis }) => axis)),
        ]);
  const lost = pads.filter(({ before, after }) => before < 0 || after < 0);
  return lost.reduce(
    (y, { axis, before, after }) => padAxis(ops, y, axis, Math.max(0, -before), Math.max(0, -after)),
    inside,
  );
}

function padAxis<T>(ops: DiffOps<T>, x: T, axis: number, before: number, after: number): T {
  if (before === 0 && after === 0) return x;
  return ops.call("Pad", [x, ops.int64([before, after]), undefined, ops.int64([axis])]);
}

/** Where each mode reads position `at` of an axis of `size` elements. */
const sources: { readonly [mode: string]: (at: number, size: number) => number } = {
  edge: (at, size) => Math.max(0, Math.min(size - 1, at)),
  wrap: (at, size) => modulo(at, size),
  // 2 1 | 0 1 2 3 | 2 1: the border is not repeated.
  reflect: (at, size) => {
    const period = Math.max(1, 2 * (size - 1));
    const inPeriod = modulo(at, period);
    return Math.min(inPeriod, period - inPeriod);
  },
};

const modulo = (at: number, period: number): number => ((at % period) + period) % period;

/** Elements that a mode has copied into the padding of an axis are added to where they came from. */
function folded<T>(
  ops: DiffOps<T>,
  node: Node,
  g: T,
  pad: AxisPad,
  size: Dim,
  source: (at: number, size: number) => number,
): T {
  const { axis, before, after } = pad;
  if (before <= 0 && after <= 0) return cut(ops, g, [pad]);
  if (before < 0 || after < 0) throw unsupported(node, `it cuts and pads axis ${axis}; use two nodes.`);
  if (typeof size !== "number")
    throw unsupported(node, `axis ${axis}, which it pads, has a symbolic size; give the sizes.`);
  const padding = [...range(before), ...range(after).map((i) => before + size + i)];
  const runs = runsOf(padding.map((at) => ({ at, from: source(at - before, size) })));
  return runs
    .map((run) => {
      const low = Math.min(...run.map(({ from }) => from));
      const high = Math.max(...run.map(({ from }) => from));
      return padAxis(ops, movedBack(ops, g, axis, run), axis, low, size - 1 - high);
    })
    .reduce((a, b) => ops.add(a, b), cut(ops, g, [pad]));
}

/** A position of the padding, and the element it is a copy of. */
interface Copied {
  readonly at: number;
  readonly from: number;
}

/** Stretches of neighbours that are copies of neighbours, in the same or the opposite order, or all of one element. */
function runsOf(copies: readonly Copied[]): readonly (readonly Copied[])[] {
  const runs: Copied[][] = [];
  for (const copied of copies) {
    const run = runs.at(-1);
    const [first, second] = run ?? [];
    const last = run?.at(-1);
    const step = copied.from - (last?.from ?? 0);
    const follows =
      last?.at === copied.at - 1 && (second ? step === second.from - first!.from : Math.abs(step) <= 1);
    if (run && follows) run.push(copied);
    else runs.push([copied]);
  }
  return runs;
}

/** The part of `g` that belongs to a run, in the order of the elements it is a copy of. */
function movedBack<T>(ops: DiffOps<T>, g: T, axis: number, run: readonly Copied[]): T {
  const [first, last] = [run[0]!, run.at(-1)!];
  if (first.from > last.from) return ops.gather(g, ops.int64(run.map(({ at }) => at).toReversed()), axis);
  const part = ops.slice(g, axis, first.at, last.at + 1);
  return run.length > 1 && first.from === last.from ? ops.sum(part, [axis]) : part;
}

/** The constant stands where the data do not. */
const constantValue: Vjp = (ops, at, g) => {
  const value = at.inputs[2]!;
  if (stringAttribute(at.node, "mode", "constant") !== "constant") return ops.zerosLike(value);
  const outside = ops.sub(ops.sum(g, undefined, false), ops.sum(data(ops, at, g), undefined, false));
  return ops.reshapeLike(outside, value);
};

/** Padding, in all modes. */
export const padding: VjpTable = {
  Pad: [data, undefined, constantValue],
};
