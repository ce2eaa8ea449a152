import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { printSpace } from "./print-space.ts";
import { product, Space, sum, unify } from "./space.ts";

const total = (list: readonly number[]): number => list.reduce((x, y) => x * y, 1);
const leaf = (size: number): Space => new Space(size);

describe("unification of channel spaces", () => {
  test("a leaf unified with a product becomes that product", () => {
    const hidden = leaf(768);
    const heads = leaf(12);
    unify(hidden, product([heads, leaf(64)]), "no");
    expect(hidden.leaves().map(({ size }) => size)).toEqual([12, 64]);
    expect(hidden.leaves()[0]).toBe(heads.root);
  });

  test("two products are cut into common factors", () => {
    const a = product([leaf(12), leaf(64)]);
    const b = product([leaf(24), leaf(32)]);
    unify(a, b, "no");
    expect(a.leaves().map(({ size }) => size)).toEqual([12, 2, 32]);
    expect(b.leaves()).toEqual(a.leaves());
    expect(a.leaves().flatMap(({ barriers }) => barriers)).toEqual([]);
  });

  test("two sums are cut at the union of their borders", () => {
    const a = sum([leaf(3), leaf(5)]);
    const b = sum([leaf(4), leaf(4)]);
    unify(a, b, "no");
    expect(a.leaves().map(({ size }) => size)).toEqual([3, 1, 4]);
    expect(b.leaves()).toEqual(a.leaves());
  });

  test("a product whose borders fit a sum gets a sum as its outermost factor", () => {
    const positions = leaf(9);
    const flattened = product([leaf(8), positions]);
    const parts = [leaf(27), leaf(45)];
    unify(flattened, sum(parts), "no");
    expect(flattened.leaves().map(({ size }) => size)).toEqual([3, 5, 9]);
    expect(parts[0]!.leaves()[1]).toBe(positions.root);
  });

  test("products without common factors are blocked, both of them, with the reason", () => {
    const a = product([leaf(3), leaf(4)]);
    const b = product([leaf(4), leaf(3)]);
    unify(a, b, "mixes");
    expect([...a.leaves(), ...b.leaves()].map(({ barriers }) => barriers)).toEqual([
      ["mixes"],
      ["mixes"],
      ["mixes"],
      ["mixes"],
    ]);
  });

  test("a barrier reaches the parts that are found later, and everything unified with them", () => {
    const hidden = leaf(6);
    hidden.block("graph output");
    const heads = leaf(2);
    unify(hidden, product([heads, leaf(3)]), "no");
    const other = leaf(2);
    unify(other, heads, "no");
    expect(other.barriers).toEqual(["graph output"]);
  });

  test("a symbolic size is only ever itself", () => {
    const batch = new Space(undefined, "batch");
    const rows = product([new Space(undefined, "batch"), leaf(4)]);
    unify(product([batch, leaf(4)]), rows, "no");
    expect(rows.leaves()[0]).toBe(batch.root);
    const other = new Space(undefined, "time");
    unify(batch, other, "differ");
    expect(other.barriers).toEqual(["differ"]);
  });

  test("an axis that is joined to more and more, as by 20,000 Concats, stays walkable, and its end can be cut", () => {
    let axis = leaf(2);
    const joined = Array.from({ length: 20_000 }, () => leaf(2));
    for (const part of joined) axis = sum([axis, part]);
    expect(axis.size).toBe(40_002);
    expect(axis.leaves().length).toBeLessThan(600);
    expect(joined[0]!.barriers).toEqual([expect.stringMatching(/more than 500 times over/)]);
    expect(joined.at(-1)!.barriers).toEqual([]);
  });

  test("unified products of any factors have the same leaves, or everything that differs is blocked", () => {
    const sizes = fc.array(fc.constantFrom(2, 3, 4, 6), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(sizes, sizes, (left, right) => {
        // The other side is padded to the same total.
        const a = product([...left, total(right)].map(leaf));
        const b = product([...right, total(left)].map(leaf));
        unify(a, b, "mixes");
        const same = printSpace(a) === printSpace(b);
        const free = [...a.leaves(), ...b.leaves()].filter(({ barriers }) => barriers.length === 0);
        const shared = new Set(a.leaves().filter((space) => b.leaves().includes(space)));
        expect(same || free.every((space) => shared.has(space))).toBe(true);
        expect(total(a.leaves().map(({ size }) => size!))).toBe(total(left) * total(right));
      }),
    );
  });
});
