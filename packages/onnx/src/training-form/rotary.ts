import type { DiffOps } from "../operators/diff-ops.ts";
import { int } from "../graph/attribute.ts";
import type { Node } from "../graph/types.ts";
import { intAttribute } from "../ops/attributes.ts";
import { range } from "./attention-core.ts";
import type { Decomposition } from "./decomposition.ts";
import { knownSize, refuse } from "./refuse.ts";

/** How the pairs of a head are turned. */
export interface Rotation<T> {
  /** Cosines and sines of each position, broadcast to `[…, dims / 2]`. */
  readonly cosines: T;
  readonly sines: T;
  /** How many dims of a head are turned: an even number. */
  readonly dims: number;
  /** Whether neighbours make a pair, not dim i and dim i + dims / 2. */
  readonly isInterleaved: boolean;
}

/**
 * Turns pairs `(a, b)` of the last of four axes: `(a·cos − b·sin, b·cos + a·sin)`. Dims behind those that are turned stay.
 *
 * @param width the size of the last axis
 */
export function rotate<T>(ops: DiffOps<T>, x: T, width: number, rotation: Rotation<T>): T {
  const { cosines, sines, dims, isInterleaved } = rotation;
  if (dims < width) {
    const sizes = ops.int64([dims, width - dims]);
    const [turned, rest] = ops.apply("Split", [x, sizes], { axis: int(3) }, 2);
    return ops.concat([rotate(ops, turned!, dims, rotation), rest!], 3);
  }
  const half = dims / 2;
  const pairs = isInterleaved ? ops.reshape(x, [0, 0, 0, half, 2]) : x;
  const sizes = ops.int64(isInterleaved ? [1, 1] : [half, half]);
  const axis = isInterleaved ? 4 : 3;
  const [a, b] = ops.apply("Split", [pairs, sizes], { axis: int(axis) }, 2);
  const [cos, sin] = [cosines, sines].map((table) => (isInterleaved ? ops.unsqueeze(table, [4]) : table));
  const turned = ops.concat(
    [ops.sub(ops.mul(a!, cos!), ops.mul(b!, sin!)), ops.add(ops.mul(b!, cos!), ops.mul(a!, sin!))],
    axis,
  );
  return isInterleaved ? ops.reshape(turned, [0, 0, 0, dims]) : turned;
}

/** Rows of a table `[positions, dims / 2]` for positions `[batch, time]`, with an axis for the heads. */
export function rowsAt<T>(ops: DiffOps<T>, table: T, positions: T, headAxis: 1 | 2): T {
  return ops.unsqueeze(ops.gather(table, positions, 0), [headAxis]);
}

interface Layout<T> {
  /** `[batch, time, heads, dim]` or `[batch, heads, time, dim]` */
  readonly x: T;
  readonly headAxis: 1 | 2;
  readonly width: number;
  /** Size of the axis of positions. */
  readonly time: T;
  readonly restore: (turned: T) => T;
}

/** What a rotary embedding reads with heads on an axis of their own. */
function layoutOf<T>(ops: DiffOps<T>, node: Node, x: T, cosines: T): Layout<T> {
  const shape = ops.shape(x);
  if (shape?.length === 4) {
    const width = knownSize(node, shape[3], "width of a head");
    return { x, headAxis: 1, width, time: ops.sizeOf(x, 2), restore: (turned) => turned };
  }
  if (shape?.length !== 3) return refuse(node, "it reads another layout than [batch, time, heads · dim]");
  const whole = knownSize(node, shape[2], "width of its input");
  const given = intAttribute(node, "num_heads", 0);
  const half = given > 0 ? 0 : knownSize(node, ops.shape(cosines)?.at(-1), "width of its cosines");
  const heads = given > 0 ? given : whole / (2 * half);
  const width = whole / heads;
  return {
    x: ops.reshape(x, [0, 0, heads, width]),
    headAxis: 2,
    width,
    time: ops.sizeOf(x, 1),
    restore: (turned) => ops.reshape(turned, [0, 0, whole]),
  };
}

/** ai.onnx RotaryEmbedding: without positions, cosines and sines are there for each of them. */
export const rotaryEmbedding: Decomposition = (ops, { node, inputs: [x, cosines, sines, positions] }) => {
  if (x === undefined || cosines === undefined || sines === undefined) return refuse(node, "it lacks inputs");
  const { x: apart, headAxis, width, restore } = layoutOf(ops, node, x, cosines);
  const rows = <T>(own: DiffOps<T>, table: T, at: T | undefined): T =>
    at === undefined ? own.unsqueeze(table, [headAxis]) : rowsAt(own, table, at, headAxis);
  const turned = rotate(ops, apart, width, {
    cosines: rows(ops, cosines, positions),
    sines: rows(ops, sines, positions),
    dims: intAttribute(node, "rotary_embedding_dim", 0) || width,
    isInterleaved: intAttribute(node, "interleaved", 0) !== 0,
  });
  return [restore(turned)];
};

/** com.microsoft.RotaryEmbedding: positions are given `[batch, time]`, or as the first one `[1]`. */
export const fusedRotaryEmbedding: Decomposition = (ops, { node, inputs }) => {
  const [x, positions, cosines, sines] = inputs;
  if (x === undefined || positions === undefined || cosines === undefined || sines === undefined)
    return refuse(node, "it lacks inputs");
  if (intAttribute(node, "is_packed_batching", 0)) refuse(node, "it reads a batch without padding");
  const { x: apart, headAxis, width, time, restore } = layoutOf(ops, node, x, cosines);
  const rank = ops.rank(positions);
  if (rank !== 1 && rank !== 2) refuse(node, "its positions have another rank than 1 or 2");
  const at = rank === 2 ? positions : ops.unsqueeze(ops.add(range(ops, time), positions), [0]);
  const turned = rotate(ops, apart, width, {
    cosines: rowsAt(ops, cosines, at, headAxis),
    sines: rowsAt(ops, sines, at, headAxis),
    dims: intAttribute(node, "rotary_embedding_dim", 0) || width,
    isInterleaved: intAttribute(node, "interleaved", 0) !== 0,
  });
  return [restore(turned)];
};
