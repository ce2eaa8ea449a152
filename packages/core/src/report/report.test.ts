import { fc, gatedSets } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { arrayOps } from "../arrays/array-ops.ts";
import { balance } from "../gating/balance.ts";
import { defineGroups } from "../groups/group-set.ts";
import { modelCost } from "./cost.ts";
import { siteReport, sparsityReport } from "./site-report.ts";
import { formatTable } from "./table.ts";

const ops = arrayOps("float64");

describe("reports", () => {
  const set = defineGroups([{ name: "w", shape: [2, 3], layout: { kind: "axis", axis: 1 } }]);
  // Columns of norms 5, 0 and 13; gates 1, 2 and 1/1000.
  const factors = {
    primary: [ops.constant([3, 0, 5, 4, 0, 12], [2, 3])],
    gates: [ops.constant([1, 2, 1e-3], [3])],
  };

  test("a site's numbers are those worked out by hand", () => {
    const report = siteReport("dense", set, factors, { lambda: 2 });
    // ‖w_j‖ = 5, 0, 0.013; threshold 0.05; smooth (2/2)(25 + 1 + 0 + 4 + 169 + 1e-6); sparse 2(5 + 0 + 0.013).
    expect(report).toMatchObject({ site: "dense", groups: 3, active: 1, near: 0 });
    expect([report.smooth, report.sparse, report.gap, report.imbalance]).toBeAllClose([
      199.000001, 10.026, 188.974001, 168.999999,
    ]);
    // ‖ω‖² − γ² = 24, −4, 169 − 1e-6.
    expect(report.medianImbalance).toBe(24);
  });

  test("a wholly dead site has no active group", () => {
    const dead = { primary: [ops.scale(factors.primary[0]!, 1e-12)], gates: factors.gates };
    expect(siteReport("dense", set, dead, { lambda: 1 }).active).toBe(0);
  });

  test("the gap in a report is never negative, and tiny at balance", () => {
    fc.assert(
      fc.property(gatedSets(), (gated) => {
        const balanced = balance(ops, gated.set, gated.factors);
        const { gap, smooth } = siteReport("s", gated.set, balanced, gated);
        expect(gap).toBeGreaterThanOrEqual(0);
        expect(gap).toBeLessThanOrEqual(1e-12 * smooth);
      }),
    );
  });

  test("a model's numbers are the sums over its sites, the largest imbalance excepted", () => {
    const one = siteReport("a", set, factors, { lambda: 2 });
    const two = { ...one, site: "b", imbalance: 500 };
    const report = sparsityReport([one, two]);
    expect(report).toMatchObject({ groups: 6, active: 2, near: 0, imbalance: 500, sites: [one, two] });
    expect(report.smooth).toBe(2 * one.smooth);
    expect(sparsityReport([])).toMatchObject({ groups: 0, smooth: 0, imbalance: 0 });
  });

  test("costs add up", () => {
    const layers = [
      { layer: "a", parameters: 10, macs: 100 },
      { layer: "b", parameters: 5, macs: 7 },
    ];
    expect(modelCost(layers)).toEqual({ layers, parameters: 15, macs: 107 });
  });
});

describe("tables", () => {
  test("names to the left, numbers to the right", () => {
    const table = formatTable(
      ["site", "groups", "active"],
      [
        ["dense_1", 300, 41],
        ["γ", 8, "all"],
      ],
    );
    expect(`\n${table}`).toMatchInlineSnapshot(`
      "
      site     groups  active
      -------  ------  ------
      dense_1     300      41
      γ             8     all"
    `);
  });

  test("rows may be short, and nothing is cut off", () => {
    expect(formatTable(["a"], [["long name", 1], []])).toBe("a\n---------  -\nlong name  1\n");
  });
});
