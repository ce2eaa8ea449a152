import type { Dim } from "../graph/graph.ts";
import { addDims, divideDims, multiplyDims } from "../infer/dims.ts";

/**
 * A channel space: the indices of an axis, as far as they are the same things everywhere. Axes that must be cut together
 * share a space. A space is a leaf, a product of spaces (row-major, as a Flatten makes) or a sum of spaces (laid one after
 * the other, as a Concat makes). Spaces are unified like terms: unifying a leaf of 768 with 12 × 64 turns the leaf into
 * that product, so the heads of an attention layer appear by themselves.
 *
 * Sizes are positive. A `symbol` stands for a size that is known at run time only; such a space is never cut.
 */
export class Space {
  readonly size: number | undefined;
  readonly symbol: string | undefined;
  #forward: Space | undefined;
  #parts: Parts | undefined;
  #barriers: string[] = [];
  #depth = 0;

  constructor(size: number | undefined, symbol?: string) {
    this.size = size;
    this.symbol = symbol;
  }

  /** What stands for this space after unification. */
  get root(): Space {
    if (!this.#forward) return this;
    let root = this.#forward;
    while (root.#forward) root = root.#forward;
    this.#forward = root; // keeps chains short
    return root;
  }

  /** How the root is made of others; `undefined` for a leaf. */
  get parts(): Parts | undefined {
    return this.root.#parts;
  }

  /** How many levels of parts this space had when it was made of them; 0 for a leaf. */
  get depth(): number {
    return this.root.#depth;
  }

  /** Why indices of this space cannot be removed, the first few reasons; empty if they can. */
  get barriers(): readonly string[] {
    return this.root.#barriers;
  }

  /** Forbids removing indices of this space, or of any part of it. */
  block(reason: string): void {
    for (const { root } of this.leaves()) {
      const known = root.#barriers;
      if (known.length < maxReasons && !known.includes(reason)) known.push(reason);
    }
  }

  /** The distinct leaves, from the outermost to the innermost. */
  leaves(): Space[] {
    const root = this.root;
    if (!root.#parts) return [root];
    return [...this.#within()].filter((space) => !space.#parts);
  }

  /** Whether `part` is this space or a part of it, however deep. */
  contains(part: Space): boolean {
    return this.#within().has(part.root);
  }

  /** This space and all its parts, each once: an axis that holds the same channels 2^30 times has 31 of them. */
  #within(found = new Set<Space>()): Set<Space> {
    const root = this.root;
    if (found.has(root)) return found;
    found.add(root);
    for (const part of root.#parts?.spaces ?? []) part.#within(found);
    return found;
  }

  /** Lets a leaf be a product or a sum; its barriers pass to the parts. */
  define(parts: Parts): void {
    const root = this.root;
    root.#parts = parts;
    root.#depth = 1 + parts.spaces.reduce((deepest, { depth }) => Math.max(deepest, depth), 0);
    for (const reason of root.#barriers) for (const part of parts.spaces) part.block(reason);
    root.#barriers = [];
  }

  /** Lets this root stand for what `other` stands for. */
  redirect(other: Space): void {
    const root = this.root;
    const target = other.root;
    if (root === target) return;
    root.#forward = target;
    for (const reason of root.#barriers) target.block(reason);
    root.#barriers = [];
  }
}

/** Positions that every convolution of a network slides over would gather a reason from each. */
const maxReasons = 8;

export interface Parts {
  readonly kind: "product" | "sum";
  readonly spaces: readonly Space[];
}

/** The row-major product of spaces; factors of size 1 drop out. */
export function product(spaces: readonly Space[]): Space {
  const factors = spaces.filter((space) => space.size !== 1);
  if (factors.length === 0) return spaces[0] ?? new Space(1);
  if (factors.length === 1) return factors[0]!;
  const whole = new Space(sizeOfProduct(factors), symbolOf(factors, multiplyDims));
  whole.define({ kind: "product", spaces: factors });
  return whole;
}

/** Spaces one after the other; empty ones drop out. */
export function sum(spaces: readonly Space[]): Space {
  const terms = spaces.filter((space) => space.size !== 0);
  if (terms.length === 1) return terms[0]!;
  const whole = new Space(sizeOfSum(terms), symbolOf(terms, addDims));
  whole.define({ kind: "sum", spaces: terms });
  if (whole.depth > maxDepth) return opaque(whole, tooDeep);
  return pieceCount(whole) > maxPieces ? opaque(whole, tooManyPieces) : whole;
}

/** A leaf for a space that is not to be walked again: nothing of either is removed. */
function opaque(whole: Space, reason: string): Space {
  const leaf = new Space(whole.size, whole.symbol);
  whole.block(reason);
  leaf.block(reason);
  return leaf;
}

/** Spaces of more pieces are not cut: a few Concats of a value with itself make billions. */
const maxPieces = 10_000;
const tooManyPieces = `it is part of an axis of more than ${maxPieces} pieces`;
/** Walks go down level by level, and a chain of Concats makes one with each node. */
const maxDepth = 500;
const tooDeep = `it is part of an axis that is joined from parts more than ${maxDepth} times over`;

/** How many leaves a space has, each as often as it occurs. */
function pieceCount(space: Space, counted = new Map<Space, number>()): number {
  const root = space.root;
  const known = counted.get(root);
  if (known !== undefined) return known;
  const count = root.parts?.spaces.reduce((total, part) => total + pieceCount(part, counted), 0) ?? 1;
  counted.set(root, count);
  return count;
}

/** The symbolic size of a space of parts, where it is no number. */
function symbolOf(parts: readonly Space[], combine: (dims: readonly Dim[]) => Dim): string | undefined {
  const size = combine(parts.map(({ size: number, symbol }) => number ?? symbol));
  return typeof size === "string" ? size : undefined;
}

function sizeOfProduct(spaces: readonly Space[]): number | undefined {
  return spaces.reduce<number | undefined>(
    (size, space) => (size === undefined || space.size === undefined ? undefined : size * space.size),
    1,
  );
}

function sizeOfSum(spaces: readonly Space[]): number | undefined {
  return spaces.reduce<number | undefined>(
    (size, space) => (size === undefined || space.size === undefined ? undefined : size + space.size),
    0,
  );
}

/**
 * Makes two spaces one: index i of the first is index i of the second. Where they do not divide into common parts, both are
 * blocked with `reason`, which is always safe: nothing of either is removed.
 */
export function unify(a: Space, b: Space, reason: string): void {
  const first = a.root;
  const second = b.root;
  if (first === second) return;
  if (first.size !== second.size || first.symbol !== second.symbol) return blockBoth(first, second, reason);
  if (!first.parts && !second.contains(first)) return first.redirect(second);
  if (!second.parts && !first.contains(second)) return second.redirect(first);
  if (!first.parts || !second.parts) return blockBoth(first, second, reason);
  if (pieceCount(first) + pieceCount(second) > maxPieces) return blockBoth(first, second, tooManyPieces);
  const kinds = `${first.parts.kind} ${second.parts.kind}`;
  if (kinds === "product product") unifyProducts(first, second, reason);
  else if (kinds === "sum sum") unifySums(first, second, reason);
  else if (kinds === "product sum") unifyMixed(first, second, reason);
  else unifyMixed(second, first, reason);
}

function blockBoth(a: Space, b: Space, reason: string): void {
  a.block(reason);
  b.block(reason);
}

/** The parts of one kind, with nested ones of the same kind opened. */
function flat(space: Space, kind: Parts["kind"]): Space[] {
  const { parts } = space.root;
  return parts?.kind === kind ? parts.spaces.flatMap((part) => flat(part, kind)) : [space.root];
}

/** Cuts both products, from the innermost factor on, into factors of equal size. */
function unifyProducts(first: Space, second: Space, reason: string): void {
  const a = flat(first, "product");
  const b = flat(second, "product");
  while (a.length > 0 && b.length > 0) {
    const x = a.pop()!;
    const y = b.pop()!;
    if (x.size === y.size && x.symbol === y.symbol) unify(x, y, reason);
    else if (!cutFactor(x, b, y, reason) && !cutFactor(y, a, x, reason)) {
      for (const space of [...a, x, ...b, y]) space.block(reason);
      return;
    }
  }
  first.redirect(second);
}

/** If `small` divides `large`, splits `large` into (rest × small) and unifies; `rest` goes back to the list of `large`. */
function cutFactor(small: Space, larges: Space[], large: Space, reason: string): boolean {
  const quotient = divideDims(large.size ?? large.symbol, small.size ?? small.symbol);
  if (quotient === undefined) return false;
  const rest = spaceOf(quotient);
  const inner = new Space(small.size, small.symbol);
  unify(large, product([rest, inner]), reason);
  unify(inner, small, reason);
  larges.push(rest);
  return true;
}

const spaceOf = (dim: NonNullable<Dim>): Space =>
  typeof dim === "number" ? new Space(dim) : new Space(undefined, dim);

/** Cuts both sums, from the first term on, at the union of their borders. */
function unifySums(first: Space, second: Space, reason: string): void {
  const a = flat(first, "sum").toReversed();
  const b = flat(second, "sum").toReversed();
  while (a.length > 0 && b.length > 0) {
    const x = a.pop()!;
    const y = b.pop()!;
    if (x.size === undefined || y.size === undefined) {
      for (const space of [...a, x, ...b, y]) space.block(reason);
      return;
    }
    if (x.size === y.size) unify(x, y, reason);
    else if (x.size < y.size) b.push(cutTerm(y, x, reason));
    else a.push(cutTerm(x, y, reason));
  }
  first.redirect(second);
}

/** Splits `large` into (small, rest), unifies the first and returns the rest. */
function cutTerm(large: Space, small: Space, reason: string): Space {
  const head = new Space(small.size);
  const rest = new Space(large.size! - small.size!);
  unify(large, sum([head, rest]), reason);
  unify(head, small, reason);
  return rest;
}

/** (P × rest) with a sum: works if every border of the sum is a whole number of `rest`s; then P is a sum itself. */
function unifyMixed(whole: Space, added: Space, reason: string): void {
  const [lead, ...rest] = flat(whole, "product");
  const terms = flat(added, "sum");
  const stride = sizeOfProduct(rest);
  const fits =
    stride !== undefined && terms.every((term) => term.size !== undefined && term.size % stride === 0);
  if (!fits) return blockBoth(whole, added, reason);
  const pieces = terms.map((term) => new Space(term.size! / stride));
  unify(lead!, sum(pieces), reason);
  terms.forEach((term, i) => unify(term, product([pieces[i]!, ...rest]), reason));
  added.redirect(whole);
}
