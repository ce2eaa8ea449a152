import { findSites, foldGates, insertGates, mask, planFrom, prune, verify } from "@dgate/onnx";
import { expect, test } from "vitest";
import { additiveNetwork, featureNetworks } from "./additive-network.ts";

test("a removed feature takes its whole network with it", async () => {
  const [features, hidden] = [5, 4];
  const graph = additiveNetwork(features, hidden, 1);
  const plan = planFrom(findSites(graph), { kept: { [featureNetworks[0]]: [1, 3] } });
  const { graph: pruned, report } = prune(graph, plan);
  const perFeature = 3 * hidden;
  expect(report.before.parameters).toBe(features * perFeature + 1);
  expect(report.after.parameters).toBe(2 * perFeature + 1);
  expect(report.inputs).toMatchObject([{ name: "input", kept: [1, 3], mode: "gather" }]);
  expect((await verify(mask(graph, plan), pruned)).maxAbsDiff).toBeLessThan(1e-6);
});

test("both layers of a feature network are one group", () => {
  const graph = additiveNetwork(5, 4, 1);
  const { groups } = foldGates(
    insertGates(graph, findSites(graph), { depth: 3, sites: [...featureNetworks] }),
  );
  expect(groups.map(({ sites, norms }) => ({ sites, count: norms.length }))).toEqual([
    { sites: [...featureNetworks], count: 5 },
  ]);
});
