import { findSites, foldGates, insertGates, mask, planFrom, prune, verify } from "@dgate/onnx";
import { expect, test } from "vitest";
import { additiveNetwork, featureNetworks } from "./additive-network.ts";

test.each([1, 3])("a removed feature takes its whole network with it: %i outputs", async (outputs) => {
  const [features, hidden] = [5, 4];
  const graph = additiveNetwork({ features, hidden, outputs }, 1);
  const plan = planFrom(findSites(graph), { kept: { "shape1.filters": [1, 3] } });
  const { graph: pruned, report } = prune(graph, plan);
  const perFeature = (2 + outputs) * hidden;
  expect(report.before.parameters).toBe(features * perFeature + outputs);
  expect(report.after.parameters).toBe(2 * perFeature + outputs);
  expect(report.inputs).toMatchObject([{ name: "input", kept: [1, 3], mode: "gather" }]);
  expect((await verify(mask(graph, plan), pruned)).maxAbsDiff).toBeLessThan(1e-6);
});

test.each([1, 3])("all layers of a feature network are one group: %i outputs", (outputs) => {
  const graph = additiveNetwork({ features: 5, hidden: 4, outputs }, 1);
  const sites = featureNetworks(outputs);
  const { groups } = foldGates(insertGates(graph, findSites(graph), { depth: 3, sites }));
  expect(groups.map((group) => ({ sites: group.sites, count: group.norms.length }))).toEqual([
    { sites, count: 5 },
  ]);
});
