import { type Dim, describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import { addDims, multiplyDims } from "../infer/dims.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { addSources, symbolSources, type SymbolSource } from "../infer/size-symbols.ts";
import type { Inference } from "../infer/view.ts";
import { callReason } from "../ops/called-function.ts";
import { applyTo, ruleOf } from "../ops/rule-of.ts";
import {
  AxisContext,
  type Contraction,
  type Findings,
  type Reduction,
  type SizeUse,
} from "./axis-context.ts";
import { axisRules } from "./axis-rules.ts";
import { type Caches, findCaches } from "./caches.ts";
import { fusedAxisRules } from "./fused-rules.ts";
import { Space } from "./space.ts";

const rules = { ...axisRules, ...fusedAxisRules };

/** Longer axes are not looked at index by index: a hostile pad or size makes billions of them. */
export const maxAxisSize: number = 2 ** 24;

/** Where a leaf space occurs in an axis: index g of the leaf is at offset + g·stride + Σ_l k_l·loops_l.stride, all k_l. */
export interface Occurrence {
  readonly offset: number;
  readonly stride: number;
  readonly loops: readonly { readonly count: number; readonly stride: number }[];
}

/** The dependency analysis of a graph: which channel space each axis of each value belongs to. */
export interface Coupling {
  readonly graph: Graph;
  readonly inference: Inference;
  /** Sums over channels: the places where a channel ends. */
  readonly contractions: readonly Contraction[];
  /** Sums over the channels of one value. */
  readonly reductions: readonly Reduction[];
  /** Numbers in the model that follow a cut. */
  readonly sizes: readonly SizeUse[];
  /** Where symbolic sizes can be read at run time. */
  readonly symbols: ReadonlyMap<string, SymbolSource>;
  /** Inputs and outputs that shrink with the heads. */
  readonly caches: Caches;
  /** Nodes in topological order. */
  readonly nodes: readonly Node[];
  /** The spaces of a value's axes; `undefined` if its rank is not known. */
  readonly axesOf: (value: Value) => readonly Space[] | undefined;
  /** Gives a value made after the analysis its spaces. */
  readonly assign: (value: Value, axes: readonly Space[]) => void;
}

/**
 * Ties all axes of a graph whose indices must be removed together. Each operator's row says how; an operator without a row
 * blocks its channels, graph outputs block theirs. Constants must be initializers (see `normalise`).
 *
 * @throws DgateError `FORMAT` for a cyclic graph
 */
export function analyseCoupling(graph: Graph): Coupling {
  const inference = inferShapes(graph);
  const spaces = new Map<Value, readonly Space[] | undefined>();
  const contractions: Contraction[] = [];
  const reductions: Reduction[] = [];
  const sizes: SizeUse[] = [];
  const axesOf = (value: Value): readonly Space[] | undefined => {
    if (!spaces.has(value)) {
      const shape = inference.types.get(value)?.shape;
      spaces.set(
        value,
        shape?.map((dim) => (typeof dim === "number" ? new Space(dim) : new Space(undefined, dim))),
      );
    }
    return spaces.get(value);
  };
  const symbols = symbolSources(graph, inference);
  const findings: Findings = { contractions, reductions, sizes, symbols, axesOf };
  const nodes = graph.sorted();
  for (const node of nodes) {
    const context = new AxisContext(graph, node, inference, findings);
    const rule = ruleOf(rules, node);
    applyTo(node, () => {
      rule?.(context);
      context.finish(rule ? leftReason(node, axesOf) : unknownReason(graph, node));
    });
    // Only what comes after a node may read the sizes of its outputs: no cycle.
    for (const output of node.outputs) if (output) addSources(symbols, output, inference);
  }
  const caches = findCaches(graph, inference);
  for (const value of graph.values) {
    const reason = outsideUse(graph, value, caches);
    for (const space of axesOf(value) ?? []) {
      if (reason !== undefined) space.block(reason);
      if ((space.size ?? 0) > maxAxisSize) {
        space.block(`it is part of an axis of "${value.name}" with more than ${maxAxisSize} indices`);
      }
    }
  }
  return {
    graph,
    inference,
    contractions,
    reductions,
    sizes,
    symbols,
    caches,
    nodes,
    axesOf,
    assign: (value, axes) => spaces.set(value, axes),
  };
}

/** What to say of the axes of a node without a rule. */
function unknownReason(graph: Graph, node: Node): string {
  return callReason(graph, node) ?? "is not an operator whose channels are known";
}

/** What to say of the axes that a node's rule does not tie. */
function leftReason(node: Node, axesOf: (value: Value) => unknown): string {
  const unknown = [...node.inputs, ...node.outputs].find((value) => value && axesOf(value) === undefined);
  return unknown
    ? `has the value "${unknown.name}", whose shape is not known`
    : "does not keep this axis apart";
}

/** Why a value must keep its shape whatever its nodes say. */
function outsideUse(graph: Graph, value: Value, caches: Caches): string | undefined {
  if (value.sparse) return `"${value.name}" is a sparse tensor`;
  const cached = caches.outputs.has(value);
  const use = graph.uses(value).find(({ index, node }) => (node ? index < 0 : !cached));
  if (!use) return undefined;
  return use.node
    ? `a subgraph of ${describeNode(use.node)} uses "${value.name}"`
    : `"${value.name}" is an output of the model`;
}

/** All places of a leaf in an axis; several where an axis holds the same channels twice. */
export function occurrences(axis: Space, leaf: Space): readonly Occurrence[] {
  return axis.root === leaf.root && !axis.parts ? [whole] : (allOccurrences(axis).get(leaf.root) ?? []);
}

const whole: Occurrence = { offset: 0, stride: 1, loops: [] };

/** The places of every leaf of an axis, found in one walk: axes of many pieces are asked about all of them. */
export function allOccurrences(axis: Space): ReadonlyMap<Space, readonly Occurrence[]> {
  const { parts } = axis;
  if (!parts) return new Map([[axis.root, [whole]]]);
  const found = new Map<Space, Occurrence[]>();
  const strides = parts.kind === "product" ? factorStrides(parts.spaces) : undefined;
  let start = 0;
  parts.spaces.forEach((part, i) => {
    const stride = strides?.[i] ?? 1;
    const outer = strides
      ? parts.spaces.flatMap((other, j) => (j === i ? [] : [{ count: other.size ?? 0, stride: strides[j]! }]))
      : [];
    for (const [leaf, places] of allOccurrences(part)) {
      const list = found.get(leaf) ?? [];
      found.set(leaf, list);
      for (const place of places) {
        const inner = place.loops.map((loop) => ({ count: loop.count, stride: loop.stride * stride }));
        list.push({
          offset: start + place.offset * stride,
          stride: place.stride * stride,
          loops: [...outer, ...inner],
        });
      }
    }
    if (!strides) start += part.size ?? 0;
  });
  return found;
}

function factorStrides(factors: readonly Space[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const factor of factors.toReversed()) {
    strides.unshift(stride);
    stride *= factor.size ?? 0;
  }
  return strides;
}

/** The indices of an axis at which a leaf's index `group` stands, ascending within each occurrence. */
export function indicesOf({ offset, stride, loops }: Occurrence, group: number): number[] {
  return loops.reduce(
    (starts, { count, stride: step }) =>
      starts.flatMap((start) => Array.from({ length: count }, (_, k) => start + k * step)),
    [offset + group * stride],
  );
}

/** Leaf indices that are to go. */
export type Removal = ReadonlyMap<Space, ReadonlySet<number>>;

/** The size of an axis after a removal. */
export function cutSize(axis: Space, removal: Removal): number | undefined {
  const { parts } = axis;
  if (!parts) return axis.size === undefined ? undefined : axis.size - (removal.get(axis.root)?.size ?? 0);
  const sizes = parts.spaces.map((part) => cutSize(part, removal));
  if (sizes.some((size) => size === undefined)) return undefined;
  return sizes.reduce<number>(
    (total, size) => (parts.kind === "sum" ? total + size! : total * size!),
    parts.kind === "sum" ? 0 : 1,
  );
}

/** As `cutSize`, with names for what is known at run time only. */
export function cutDim(axis: Space, removal: Removal): Dim {
  const { parts } = axis;
  if (!parts) return cutSize(axis, removal) ?? axis.root.symbol;
  const dims = parts.spaces.map((part) => cutDim(part, removal));
  return parts.kind === "sum" ? addDims(dims) : multiplyDims(dims);
}

/** The indices of an axis that stay, ascending; `undefined` if all do. */
export function keptIndices(axis: Space, removal: Removal): number[] | undefined {
  if (!axis.leaves().some((leaf) => (removal.get(leaf)?.size ?? 0) > 0)) return undefined;
  return keep(axis, removal);
}

function keep(axis: Space, removal: Removal): number[] {
  const { parts } = axis;
  const size = axis.size ?? 0;
  if (!parts) {
    const gone = removal.get(axis.root);
    return Array.from({ length: size }, (_, i) => i).filter((i) => !gone?.has(i));
  }
  if (parts.kind === "sum") {
    let offset = 0;
    return parts.spaces.flatMap((part) => {
      const start = offset;
      offset += part.size ?? 0;
      return keep(part, removal).map((index) => start + index);
    });
  }
  return parts.spaces.reduce<number[]>(
    (outer, part) => {
      const inner = keep(part, removal);
      return outer.flatMap((index) => inner.map((i) => index * (part.size ?? 0) + i));
    },
    [0],
  );
}

/** What to say of an axis that cannot be cut, or `undefined` if it can. */
export function whyBlocked(leaf: Space): string | undefined {
  if (leaf.size === undefined) return "its size is known at run time only";
  if (leaf.size === 1) return "it has one channel only";
  return leaf.barriers[0];
}

/** A node's name for people and sites: its own, or the name of what it writes. */
export function nodeName(node: Node): string {
  return node.name || (node.outputs[0]?.name ?? describeNode(node));
}
