import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { int, ints } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "../prune/mask.ts";
import { normalise } from "./normalise.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";

const scalar = (net: GraphBuilder, number: number): Value =>
  net.graph.addInitializer(net.graph.freshName("scalar"), tensorOf("float32", [], [number]));

/** Ways to write a weight `[6, 3, 3, 3]` as a computation. */
const forms: Readonly<Record<string, (net: GraphBuilder) => Value>> = {
  "a scale for each filter": (net) =>
    net.op("Mul", [net.weight("v", [6, 3, 3, 3], 0.3), net.weight("g", [6, 1, 1, 1], 0.3, 1)]),
  "weight normalisation": (net) => {
    const v = net.weight("v", [6, 3, 3, 3]);
    const norm = net.op("ReduceL2", [v], { axes: ints([1, 2, 3]), keepdims: int(1) });
    return net.op("Mul", [net.op("Div", [v, norm]), net.weight("g", [6, 1, 1, 1])]);
  },
  "a norm from its parts": (net) => {
    const v = net.weight("v", [6, 3, 3, 3]);
    const square = net.op("ReduceSum", [net.op("Pow", [v, scalar(net, 2)]), net.integers("axes", [1, 2, 3])]);
    const norm = net.op("Sqrt", [net.op("Add", [square, scalar(net, 1e-6)])]);
    return net.op("Div", [v, norm]);
  },
  "weight standardisation": (net) => {
    const v = net.weight("v", [6, 3, 3, 3], 1, 0.4);
    return net.op("Sub", [v, net.op("ReduceMean", [v], { axes: ints([1, 2, 3]), keepdims: int(1) })]);
  },
};

function network(form: (net: GraphBuilder) => Value): Graph {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 3, 6, 6]);
  const hidden = net.op("Relu", [net.op("Conv", [x, form(net), net.weight("b", [6])], {}, "c1")]);
  return net.output(net.op("GlobalAveragePool", [net.conv("c2", hidden, [6, 4])]));
}

test.each(Object.keys(forms))("a weight that is %s is a weight like others", async (name) => {
  const graph = network(forms[name]!);
  const before = await verify(graph, normalise(graph));
  expect(before.maxRelDiff).toBeLessThan(1e-6);
  const sites = findSites(graph);
  expect(sites.map((site) => [site.name, site.prunable === true])).toContainEqual(["c1.filters", true]);
  const plan = planFrom(sites, { sparsity: 0.5 });
  const { graph: pruned, report } = prune(graph, plan);
  expect(pruned.nodes("Conv")[0]!.inputs[1]!.data!.shape).toEqual([3, 3, 3, 3]);
  expect(report.keptBack).toEqual([]);
  expect((await verify(mask(graph, plan), pruned)).maxRelDiff).toBeLessThan(2e-6);
});

test("a weight that others read too, and one that a caller can change, are left as they are", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 6]);
  const shared = net.weight("shared", [6, 6]);
  const scaled = net.op("Mul", [shared, scalar(net, 2)]);
  const a = net.op("Relu", [net.op("MatMul", [x, shared])]);
  const graph = net.output(net.op("MatMul", [a, scaled]));
  expect(normalise(graph).nodes("Mul")).toHaveLength(1);

  const gated = new GraphBuilder();
  const gate = gated.graph.addInput("gate", { dtype: "float32", shape: [6] });
  gated.graph.setData(gate, tensorOf("float32", [6], [1, 1, 1, 1, 1, 1]));
  const w = gated.op("Mul", [gated.weight("w", [6, 6]), gate]);
  const y = gated.output(gated.op("MatMul", [gated.input("x", ["batch", 6]), w]));
  expect(normalise(y).nodes("Mul")).toHaveLength(1);
});

test("an outer product of constants is left to the runtime: it would be larger than the model", () => {
  const net = new GraphBuilder();
  const product = net.op("Mul", [net.weight("column", [20_000, 1]), net.weight("row", [1, 20_000])]);
  const graph = net.output(net.op("MatMul", [net.input("x", ["batch", 20_000]), product]));
  expect(normalise(graph).nodes("Mul")).toHaveLength(1);
});
