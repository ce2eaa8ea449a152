import type { Graph, Value } from "../graph/graph.ts";
import { multiplyDims } from "../infer/dims.ts";
import { type Axis, type AxisAtoms, isLayout, type Layout } from "./axis-layout.ts";
import type { NodeEmitter } from "./node-emitter.ts";
import type { Stage } from "./trace-layout.ts";
import type { UnfusedAttention } from "./unfused-attention.ts";

/** Q, K or V in the form that an operator reads, made on demand. */
interface Operand {
  /** What it is multiplied by before its use in the un-fused graph. */
  readonly factor: number;
  /** The value itself, if it is in that form already. */
  readonly value: Value | undefined;
  readonly make: (emit: NodeEmitter, stem: string) => Value;
}

type Roles = readonly [batch: Axis, positions: Axis, heads: Axis, dim: Axis];

/** Q, K and V of an attention layer: Q `[batch, queries, heads · dim]`; K and V alike, or both `[batch, heads, keys, dim]`. */
export interface Operands {
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  /** Whether K and V have an axis of heads. */
  readonly isApart: boolean;
}

/** How Q, K and V get to an operator that reads them; `undefined` where one of them cannot be laid out so. */
export function operandsOf(graph: Graph, found: UnfusedAttention): Operands | undefined {
  const { batch, heads, queries, keys, dim, valueDim } = found.axes;
  const q = joined(found, found.q, [batch, queries, heads, dim]);
  if (!q) return undefined;
  const kRoles: Roles = [batch, keys, heads, dim];
  const vRoles: Roles = [batch, keys, heads, valueDim];
  const [k4, v4] = [apart(found.atoms, found.k, kRoles), apart(found.atoms, found.v, vRoles)];
  const [k3, v3] = [joined(found, found.k, kRoles), joined(found, found.v, vRoles)];
  // A cache is made with heads on an axis of their own; so are values that are computed so anyway.
  const isMade = [k3, v3].every((operand) => operand?.value);
  const isHeld = [k4, v4].some((operand) => operand?.value && graph.uses(operand.value).length > 1);
  if (k4 && v4 && found.headDim === found.valueDim && (!isMade || isHeld))
    return { q, k: k4, v: v4, isApart: true };
  return k3 && v3 ? { q, k: k3, v: v3, isApart: false } : undefined;
}

/** `[batch, positions, heads · dim]`, from the stage nearest to the projection that is so or needs the least to become so. */
function joined(found: UnfusedAttention, stages: readonly Stage[], roles: Roles): Operand | undefined {
  const { atoms } = found;
  const [batch, positions, heads, dim] = roles;
  const last = [...heads, ...dim];
  const width = Number(multiplyDims(last.map((atom) => atom.dim)));
  return (
    pick(atoms, stages, [batch, positions, last]) ??
    picked(atoms, stages, roles, width) ??
    permuted(atoms, stages, [batch, positions, last]) ??
    (heads.length > 0 ? permuted(atoms, stages, [batch, positions, heads, dim], [0, 0, width]) : undefined)
  );
}

/** `[batch, heads, positions, dim]` */
function apart(atoms: AxisAtoms, stages: readonly Stage[], roles: Roles): Operand | undefined {
  const [batch, positions, heads, dim] = roles;
  if (heads.length === 0) return undefined;
  const layout: Layout = [batch, heads, positions, dim];
  return pick(atoms, stages, layout) ?? permuted(atoms, stages, layout);
}

/** The last stage that has a layout. */
function pick(atoms: AxisAtoms, stages: readonly Stage[], layout: Layout): Operand | undefined {
  const stage = stages.findLast((each) => isLayout(atoms.resolve(each.layout), layout));
  return stage && { factor: stage.factor, value: stage.value, make: () => stage.value };
}

/** A part of Q, K and V side by side, `[batch, positions, 3 · heads · dim]`. */
function picked(
  atoms: AxisAtoms,
  stages: readonly Stage[],
  [batch, positions, heads, dim]: Roles,
  width: number,
): Operand | undefined {
  for (const { value, layout, factor } of stages.toReversed()) {
    const [first, second, third, ...others] = atoms.resolve(layout);
    const index = third?.[0]?.picked;
    const rest = third?.slice(1) ?? [];
    const isPart = isLayout([first ?? [], second ?? [], rest], [batch, positions, [...heads, ...dim]]);
    if (index === undefined || others.length > 0 || !isPart) continue;
    const [from, to] = [index * width, (index + 1) * width];
    const make: Operand["make"] = (emit, stem) =>
      emit.value(stem, "Slice", [value, emit.int64([from]), emit.int64([to]), emit.int64([2])]);
    return { factor, value: undefined, make };
  }
  return undefined;
}

/** The last stage whose axes are these in another order. */
function permuted(
  atoms: AxisAtoms,
  stages: readonly Stage[],
  layout: Layout,
  sizes?: readonly number[],
): Operand | undefined {
  for (const { value, layout: own, factor } of stages.toReversed()) {
    const axes = atoms.resolve(own);
    const perm: number[] = [];
    for (const wanted of layout)
      perm.push(axes.findIndex((axis, i) => !perm.includes(i) && isLayout([axis], [wanted])));
    if (axes.length !== layout.length || perm.includes(-1)) continue;
    const make: Operand["make"] = (emit, stem) => {
      const turned = emit.transpose(stem, value, perm);
      return sizes ? emit.reshape(stem, turned, sizes) : turned;
    };
    return { factor, value: undefined, make };
  }
  return undefined;
}
