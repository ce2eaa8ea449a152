import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { int } from "../graph/attribute.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { flattenBranches, restoreBranches } from "./branches.ts";
import { mask } from "../prune/mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";

/** What a branch does with the hidden values of the graph around it. */
type Body = (branch: Graph, hidden: Value, head: Value) => Value;

const relu: Body = (branch, hidden, head) => {
  const active = branch.addNode({ op: "Relu", name: "act", inputs: [hidden] }).outputs[0]!;
  return branch.addNode({ op: "MatMul", name: "head", inputs: [active, head] }).outputs[0]!;
};

/** Uses a constant of its own, under the name that the other branch uses too. */
const scaled: Body = (branch, hidden, head) => {
  const scale = branch.addInitializer("scale", tensorOf("float32", [6], [1, -2, 3, -4, 5, -6]));
  const product = branch.addNode({ op: "Mul", name: "act", inputs: [hidden, scale] }).outputs[0]!;
  return branch.addNode({ op: "MatMul", name: "head", inputs: [product, head] }).outputs[0]!;
};

/** A branch within a branch. */
const nested: Body = (branch, hidden, head) => {
  const condition = branch.addInitializer("inner", tensorOf("bool", [], [1]));
  const bodies = [relu, scaled].map((body, i) => {
    const graph = new Graph(`inner${i}`, branch.opsets);
    const [outerHidden, outerHead] = [hidden, head].map((value) => graph.addOuter(value.name, value.type));
    graph.addOutput(body(graph, outerHidden!, outerHead!));
    return { kind: "graph" as const, value: graph };
  });
  const attributes = { then_branch: bodies[0]!, else_branch: bodies[1]! };
  return branch.addNode({ op: "If", name: "again", inputs: [condition], attributes }).outputs[0]!;
};

/** x → fc → If(condition) { head, as the one branch reads it } else { as the other does }; both share the weights of `head`. */
function branching(then: Body, otherwise: Body): Graph {
  const net = new GraphBuilder(3);
  const condition = net.graph.addInput("condition", { dtype: "bool", shape: [1] });
  const hidden = net.gemm("fc", net.input("x", ["batch", 4]), [4, 6]);
  hidden.type = { dtype: "float32", shape: ["batch", 6] };
  const head = net.weight("head/kernel", [6, 3]);
  const bodies = [then, otherwise].map((body, i) => {
    const graph = new Graph(`branch${i}`, net.graph.opsets);
    const [outerHidden, outerHead] = [hidden, head].map((value) => graph.addOuter(value.name, value.type));
    graph.addOutput(body(graph, outerHidden!, outerHead!));
    return { kind: "graph" as const, value: graph };
  });
  const attributes = { then_branch: bodies[0]!, else_branch: bodies[1]! };
  const chosen = net.graph.addNode({ op: "If", name: "choose", inputs: [condition], attributes }).outputs[0]!;
  chosen.type = { dtype: "float32", shape: ["batch", 3] };
  return net.output(net.op("Softmax", [chosen], { axis: int(-1) }, "probs"));
}

const feeds = [0, 1].map((taken) => ({
  condition: tensorOf("bool", [1], [taken]),
  x: tensorOf("float32", [2, 4], [1, -2, 0.5, 3, -1, 2, -0.5, 0.25]),
}));

const bodies = fc.constantFrom(relu, scaled, nested);

describe("branches of an If", () => {
  test("laid out and put back they are the same text", () => {
    fc.assert(
      fc.property(bodies, bodies, (then, otherwise) => {
        const graph = branching(then, otherwise);
        graph.sortNodes();
        const before = String(graph);
        const ifs = flattenBranches(graph);
        expect(ifs).toBe([then, otherwise].filter((body) => body === nested).length + 1);
        expect(graph.nodes("If")).toEqual([]);
        expect(restoreBranches(graph)).toBe(ifs);
        graph.sortNodes();
        expect(String(graph)).toBe(before);
      }),
    );
  });

  test("the weights that both branches share are cut in both: masked equals pruned, whichever is taken", async () => {
    await fc.assert(
      fc.asyncProperty(bodies, bodies, async (then, otherwise) => {
        const graph = readModel(writeModel(branching(then, otherwise)));
        const sites = findSites(graph);
        expect(sites.find(({ name }) => name === "fc.neurons")).toMatchObject({ groups: 6, prunable: true });
        const plan = planFrom(sites, { keep: 0.5, sites: ["fc.neurons"] });
        const { graph: small, report } = prune(graph, plan);
        expect(report.keptBack).toEqual([]);
        expect(small.value("head/kernel")?.data?.shape).toEqual([3, 3]);
        const { maxRelDiff } = await verify(mask(graph, plan), small, { runs: 0, feeds });
        expect(maxRelDiff).toBeLessThan(1e-6);
      }),
      { numRuns: 12 },
    );
  });

  test("a name that looks like a branch's stays where it is", () => {
    const graph = branching(relu, scaled);
    graph.rename(graph.value("head/kernel")!, "choose.then/kernel");
    graph.sortNodes();
    const before = String(graph);
    flattenBranches(graph);
    restoreBranches(graph);
    graph.sortNodes();
    expect(String(graph)).toBe(before);
  });
});

const names = (of: Graph): Set<string> => new Set([...of.values].map(({ name }) => name));

test("a constant that a branch gives as it is goes back into the branch", async () => {
  const graph = branching(relu, (branch) => {
    return branch.addInitializer("fixed", tensorOf("float32", [1, 3], [1, 2, 3]));
  });
  const copy = graph.clone();
  flattenBranches(copy);
  restoreBranches(copy);

  expect(names(copy)).toEqual(names(graph));
  expect((await verify(graph, copy)).maxAbsDiff).toBe(0);
});
