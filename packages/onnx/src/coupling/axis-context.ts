import { type Dim, describeNode, type Node, type Value } from "../graph/graph.ts";
import { isComputable, type SymbolSource } from "../infer/size-symbols.ts";
import { NodeView, type Inference } from "../infer/view.ts";
import type { Graph } from "../graph/graph.ts";
import { type Space, unify } from "./space.ts";
import { keepsZero } from "./zero-channels.ts";

/** An axis of a node's input or output, as a rule sees it. */
export interface AxisRef {
  readonly value: Value;
  readonly axis: number;
  readonly space: Space;
}

/** A sum over channels: `left` and `right` are the axes that the node multiplies and adds up. */
export interface Contraction {
  readonly node: Node;
  /** The data operand; input index and axis. */
  readonly left: { readonly input: number; readonly axis: number };
  /** The weight operand (or the second data operand of an attention product). */
  readonly right: { readonly input: number; readonly axis: number };
  /** The space that is summed over. */
  readonly space: Space;
  /** Nothing is summed, but the node takes the range of all channels (dynamic quantization): only zeros can go unseen. */
  readonly range?: true;
  /** The part of it that is summed over, where the rest passes: dims of the heads that an axis holds. */
  readonly over?: Space;
}

/** A sum over the channels of one value, as a norm takes: a channel that is zero adds nothing to it. */
export interface Reduction {
  readonly node: Node;
  readonly axis: number;
  readonly space: Space;
  /** The sum is divided by the number of channels, which a cut changes. */
  readonly mean: boolean;
}

/** A number in the model that is the size of spaces, and follows when they are cut. */
export type SizeUse =
  /** Input `input` of the node lists one size per axis (`Reshape`, `Expand`, `Resize`). */
  | { readonly kind: "shape"; readonly node: Node; readonly input: number; readonly spaces: readonly Space[] }
  /** Sizes of the parts of `Split`. */
  | { readonly kind: "split"; readonly node: Node; readonly spaces: readonly Space[] }
  /** An integer attribute (`group`). */
  | { readonly kind: "attribute"; readonly node: Node; readonly name: string; readonly space: Space }
  /** An initializer holds a number of `bits` bits per row and block; each row is padded to whole bytes. */
  | {
      readonly kind: "packed";
      readonly value: Value;
      readonly bits: number;
      readonly rows: Space;
      readonly blocks: Space;
    }
  /** An attribute that lists sizes (`qkv_hidden_sizes`); written even where it was left out before. */
  | {
      readonly kind: "attributes";
      readonly node: Node;
      readonly name: string;
      readonly spaces: readonly Space[];
    }
  /** `Slice`: entry `at` of its ranges takes `taken`, between `before` and `after`. */
  | {
      readonly kind: "slice";
      readonly node: Node;
      readonly at: number;
      readonly before: Space;
      readonly taken: Space;
      readonly after: Space;
    }
  /** `Pad`: `before` and `after` are the channels that it adds to axis `axis`. */
  | {
      readonly kind: "pad";
      readonly node: Node;
      readonly axis: number;
      readonly before: Space;
      readonly after: Space;
    };

/** What rules write to. */
export interface Findings {
  readonly contractions: Contraction[];
  readonly reductions: Reduction[];
  readonly sizes: SizeUse[];
  readonly symbols: ReadonlyMap<string, SymbolSource>;
  readonly axesOf: (value: Value) => readonly Space[] | undefined;
}

/** How a rule sees a node, and which axes have been dealt with. */
interface Seen {
  /** Axes that are dealt with, by value: a Concat of hundreds of inputs asks often. */
  readonly touched: Map<Value, Set<number>>;
  readonly as?: { readonly op: string; readonly order: readonly number[] };
}

/** A node while its rule ties axes together. What a rule leaves untouched is blocked afterwards. */
export class AxisContext {
  readonly node: Node;
  /** As the rule sees the node: see `as`. */
  readonly view: NodeView;
  readonly #findings: Findings;
  readonly #seen: Seen;

  constructor(
    graph: Graph,
    node: Node,
    inference: Inference,
    findings: Findings,
    seen: Seen = { touched: new Map() },
  ) {
    const view = new NodeView(graph, node, inference);
    this.node = node;
    this.view = seen.as ? view.as(seen.as.op, seen.as.order) : view;
    this.#findings = findings;
    this.#seen = seen;
  }

  /** The node for the rule of operator `op`, whose input i is input `order[i]` here; what the rule finds holds for the node. */
  as(op: string, order: readonly number[]): AxisContext {
    const seen = { touched: this.#seen.touched, as: { op, order } };
    return new AxisContext(this.view.graph, this.node, this.view.inference, this.#findings, seen);
  }

  /** Axes of input `index`; empty if it is left out, `undefined` if its rank is not known. */
  input(index: number): readonly AxisRef[] | undefined {
    return this.#refs(this.view.node.inputs[index]);
  }

  output(index = 0): readonly AxisRef[] | undefined {
    return this.#refs(this.node.outputs[index]);
  }

  /** Index i here is index i there. */
  tie(a: AxisRef | undefined, b: AxisRef | undefined): void {
    if (!a || !b) return;
    this.touch(a);
    this.touch(b);
    this.unify(a.space, b.space);
  }

  unify(a: Space, b: Space): void {
    unify(a, b, `${describeNode(this.node)} mixes channels in a way that does not split`);
  }

  /** Nothing of this axis can be removed; `reason` is what the operator does to it. */
  block(ref: AxisRef | undefined, reason: string): void {
    if (!ref) return;
    this.touch(ref);
    if (ref.space.size !== 1) ref.space.block(`${describeNode(this.node)} ${reason}`);
  }

  /** The axis is dealt with (a broadcast axis of size 1, a contraction). */
  touch(ref: AxisRef | undefined): void {
    if (!ref) return;
    const axes = this.#seen.touched.get(ref.value);
    if (axes) axes.add(ref.axis);
    else this.#seen.touched.set(ref.value, new Set([ref.axis]));
  }

  /** The node multiplies along these two axes and sums. */
  contract(
    left: AxisRef,
    leftInput: number,
    right: AxisRef,
    rightInput: number,
    space: Space,
    over?: Space,
  ): void {
    this.touch(left);
    this.touch(right);
    this.#findings.contractions.push({
      node: this.node,
      left: { input: this.#index(leftInput), axis: left.axis },
      right: { input: this.#index(rightInput), axis: right.axis },
      space,
      ...(over && { over }),
    });
  }

  /** The node sums over an axis of input 0; refused where a removed channel would count. */
  reduce(ref: AxisRef, mean: boolean, reason: string): void {
    const { graph, inference } = this.view;
    if (ref.space.size === undefined || !keepsZero(graph, inference, ref.value, ref.axis))
      return this.block(ref, reason);
    this.touch(ref);
    this.#findings.reductions.push({ node: this.node, axis: ref.axis, space: ref.space, mean });
  }

  /** The node takes the range of everything in input `index`. */
  takesRange(index: number): void {
    for (const { axis, space } of this.input(index) ?? []) {
      const place = { input: index, axis };
      this.#findings.contractions.push({ node: this.node, left: place, right: place, space, range: true });
    }
  }

  /** Whether every size of a list can be computed anew after a cut. */
  isComputable(dims: readonly Dim[]): boolean {
    return dims.every((dim) => isComputable(dim, this.#findings.symbols));
  }

  size(use: SizeUse): void {
    this.#findings.sizes.push(use);
  }

  /** Blocks every axis that the rule did not speak of. */
  finish(reason: string): void {
    for (const value of [...this.node.inputs, ...this.node.outputs]) {
      const axes = value && this.#seen.touched.get(value);
      for (const ref of this.#refs(value) ?? []) if (!axes?.has(ref.axis)) this.block(ref, reason);
    }
  }

  /** The input of the node that its rule calls `index`. */
  #index(index: number): number {
    return this.#seen.as?.order[index] ?? index;
  }

  #refs(value: Value | undefined): readonly AxisRef[] | undefined {
    if (!value) return [];
    return this.#findings.axesOf(value)?.map((space, axis) => ({ value, axis, space }));
  }
}

/** Aligns from the last axis; an axis of size 1 that stretches is no channel axis. */
export function tieBroadcast(context: AxisContext, from: readonly AxisRef[], to: readonly AxisRef[]): void {
  for (const ref of from) {
    const target = to[to.length - from.length + ref.axis];
    if (ref.space.size === 1 && target?.space.size !== 1) context.touch(ref);
    else context.tie(ref, target);
  }
}

/** Blocks an axis and what it becomes. */
export function blockBoth(
  context: AxisContext,
  a: AxisRef | undefined,
  b: AxisRef | undefined,
  reason: string,
): void {
  context.block(a, reason);
  context.block(b, reason);
}
