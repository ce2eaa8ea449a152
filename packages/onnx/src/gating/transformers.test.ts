import { expect, test } from "vitest";
import { stored } from "../../test/gated-networks.ts";
import { transformerModels } from "../../test/models/models.ts";
import { patterns } from "../../test/models/patterns.ts";
import { feedsOf, type TransformerModel } from "../../test/models/transformer-model.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { planDeadGroups } from "../plan/plan-dead-groups.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { foldGates } from "./fold-gates.ts";
import { insertGates } from "./insert-gates.ts";
import { readGates } from "./read-gates.ts";

/** Every third group of each site is dead: one of its gates is zero. */
function killed(gated: Graph): Graph {
  const copy = gated.clone();
  for (const { names, product } of new Set(readGates(copy).values())) {
    const gate = copy.value(names[1]!)!;
    const values = Array.from(readNumbers(gate.data!), (g, j) => (j % 3 === 0 ? 0 : g));
    gate.data = tensorOf("float32", [product.length], values);
  }
  return copy;
}

/** The road from gates to a smaller model, and how far apart the models on it are. */
async function road(model: TransformerModel): Promise<object> {
  const dense = model.graph;
  const sites = findSites(dense);
  const compared = { runs: 0, feeds: [feedsOf(model, 1)] };
  const gated = insertGates(dense, sites, { depth: 3, initial: "balanced" });
  const learned = killed(gated);
  const { graph: folded, groups } = foldGates(learned);
  const { plan } = planDeadGroups(findSites(folded), { groups });
  const { graph: small, report } = prune(folded, plan);
  const { before, after, keptBack, inputs, outputs } = report;
  return {
    gatedAgainstDense: (await verify(dense, gated, compared)).maxRelDiff,
    unitGatesFoldedGiveBack: String(foldGates(insertGates(dense, sites)).graph) === String(stored(dense)),
    smallAgainstLearned: (await verify(learned, small, { ...compared, inputs, outputs })).maxRelDiff,
    hasHeads: groups.some(({ kind }) => kind === "heads"),
    isSmaller: after.parameters < before.parameters,
    // The bias of a dead filter stays where a constant channel meets zero padding (Whisper's convolutions).
    keptBack: keptBack.filter(({ reason }) => !reason.includes("pads with zeros")),
  };
}

const proven = {
  gatedAgainstDense: expect.closeTo(0, 5),
  unitGatesFoldedGiveBack: true,
  smallAgainstLearned: expect.closeTo(0, 5),
  hasHeads: true,
  isSmaller: true,
  keptBack: [],
};

test.each(transformerModels)(
  "$name, gated, computes the same, and so does what is left without dead groups",
  async ({ build }) => {
    expect(await road(build())).toEqual(proven);
  },
);

test.each(patterns)(
  "attention $id $name, gated, computes the same, and so does what is left without dead heads",
  async ({ build }) => {
    expect(await road(build())).toEqual(proven);
  },
);
