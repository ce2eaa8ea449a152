import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { buildNetwork, networks } from "../../test/random-networks.ts";
import { countCosts } from "../sites/count-costs.ts";
import { findSites } from "../sites/find-sites.ts";
import { costModel } from "./cost-model.ts";
import { plannedFolds } from "../prune/fold-constants.ts";
import { normalise } from "../normal-form/normalise.ts";
import { planFrom } from "./plan-from.ts";
import { prepare } from "../prune/prepare.ts";
import { prune } from "../prune/prune.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 2000 : 100;
const dims = { batch: 3 };

test("the predicted cost of a cut is that of the pruned graph, exactly", () => {
  let removed = 0;
  fc.assert(
    fc.property(
      networks,
      fc.record({ seed: fc.nat(), sparsity: fc.constantFrom(0.25, 0.5, 0.75), biases: fc.boolean() }),
      (network, { seed, sparsity, biases }) => {
        const graph = buildNetwork(network);
        const random = randomGenerator(seed);
        const sites = findSites(graph).filter(({ prunable }) => prunable === true);
        const some = sites.filter(() => random.next() < 0.6).map(({ name }) => name);
        if (some.length === 0) return;
        const plan = planFrom(sites, { sparsity, criterion: "random", seed, sites: some, biases });
        const normal = normalise(graph);
        const { coupling, constants, gathers, removal } = prepare(normal, plan, "gather");
        const model = costModel(coupling, { dims, gathers });
        const { parameters, macs, bytes } = countCosts(prune(graph, plan).graph, dims);
        const folds = plannedFolds(constants, removal);
        expect(model.under({ removal, folds })).toEqual({ parameters, macs, bytes });
        removed += model.whole.macs - macs;
      },
    ),
    { numRuns: runs },
  );
  expect(removed).toBeGreaterThan(0);
}, 120_000);

test("the predicted cost of dropping residual branches is that of the pruned graph, exactly", () => {
  let dropped = 0;
  fc.assert(
    fc.property(networks, fc.boolean(), fc.nat(), (network, biases, seed) => {
      const graph = buildNetwork(network);
      const random = randomGenerator(seed);
      const layers = findSites(graph).filter(({ kind }) => kind === "layers");
      const some = layers.filter(() => random.next() < 0.6);
      if (some.length === 0) return;
      const kept = Object.fromEntries(some.map(({ name }) => [name, []]));
      const { parameters, macs, bytes } = countCosts(
        prune(graph, planFrom(layers, { kept, biases })).graph,
        dims,
      );
      const { coupling, branches } = some[0]!.source();
      const dead = some.map(({ name }) => {
        const branch = branches.get(name)!;
        return { branch, emits: branch.emits === "always" || (branch.emits === "biases" && !biases) };
      });
      const model = costModel(coupling, { dims });
      expect(model.under({ removal: new Map(), branches: dead })).toEqual({ parameters, macs, bytes });
      dropped += some.length;
    }),
    { numRuns: runs },
  );
  expect(dropped).toBeGreaterThan(0);
}, 120_000);
