import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { float, int, ints } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { mask } from "../prune/mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";

type Norm = (net: GraphBuilder, name: string, x: Value) => Value;

const scalar = (net: GraphBuilder, value: number): Value =>
  net.op("Constant", [], { value_float: float(value) });

const mean = (net: GraphBuilder, x: Value): Value => net.op("ReduceMean", [x], { axes: ints([-1]) });

/** x / √(mean(x²) + ε) · γ, as exporters write RMS normalisation. */
const rms: Norm = (net, name, x) => {
  const square = mean(net, net.op("Pow", [x, scalar(net, 2)]));
  const root = net.op("Sqrt", [net.op("Add", [square, scalar(net, 1e-3)])]);
  return net.op("Mul", [net.op("Div", [x, root]), net.weight(`${name}/gamma`, [8], 0.3, 1)]);
};

/** x / √Σx². */
const euclidean: Norm = (net, _, x) => net.op("Div", [x, net.op("ReduceL2", [x], { axes: ints([-1]) })]);

/** (x − mean) / √(mean((x − mean)²) + ε) · γ + β. */
const layer: Norm = (net, name, x) => {
  const centred = net.op("Sub", [x, mean(net, x)]);
  const variance = mean(net, net.op("Mul", [centred, centred]));
  const normal = net.op("Div", [centred, net.op("Sqrt", [net.op("Add", [variance, scalar(net, 1e-3)])])]);
  const scaled = net.op("Mul", [normal, net.weight(`${name}/gamma`, [8], 0.3, 1)]);
  return net.op("Add", [scaled, net.weight(`${name}/beta`, [8])]);
};

/** Two residual layers of width 8 with a norm before each, as in a transformer. */
function stream(norm: Norm): Graph {
  const net = new GraphBuilder(7);
  let x = net.gemm("embed", net.input("x", ["batch", 4]), [4, 8]);
  for (const name of ["a", "b"]) {
    const hidden = net.op("Tanh", [net.gemm(`${name}/up`, norm(net, `${name}/norm`, x), [8, 6])]);
    x = net.op("Add", [x, net.gemm(`${name}/down`, hidden, [6, 8])]);
  }
  return net.output(net.gemm("head", norm(net, "head/norm", x), [8, 3]));
}

describe("channels of a residual stream", () => {
  test.each([
    ["RMS normalisation", rms],
    ["Euclidean normalisation", euclidean],
  ])("go through %s: masked equals pruned", async (_, norm) => {
    const graph = stream(norm);
    const sites = findSites(graph);
    const plan = planFrom(sites, {
      sparsity: 0.5,
      sites: ["embed.neurons", "a/down.neurons", "b/down.neurons"],
    });
    const { graph: small, report } = prune(graph, plan);
    expect(report.keptBack).toEqual([]);
    expect(small.value("head/kernel")?.data?.shape).toEqual([4, 3]);
    expect((await verify(mask(graph, plan), small)).maxRelDiff).toBeLessThan(1e-5);
    expect((await verify(graph, mask(graph, plan))).equal).toBe(false);
  });

  test("do not go through a LayerNormalization, which takes a difference from the mean", () => {
    const reasons = findSites(stream(layer)).filter(({ name }) => name === "embed.neurons");
    expect(reasons.map(({ prunable }) => prunable)).toEqual([
      expect.stringMatching(
        /^ReduceMean "reducemean_\d+" reduces over this axis, and a removed channel would still count$/,
      ),
    ]);
  });

  test("stay where a bias that is not masked makes them other than zero", async () => {
    const graph = stream(rms);
    const sites = ["embed.neurons", "a/down.neurons", "b/down.neurons"];
    const plan = planFrom(findSites(graph), { sparsity: 0.5, sites, biases: false });
    const { graph: small, report } = prune(graph, plan);
    expect(report.keptBack.map(({ reason }) => reason)).toContainEqual(
      expect.stringMatching(/^ReduceMean .* adds it up, and it is not zero there$/),
    );
    expect((await verify(mask(graph, plan), small)).maxRelDiff).toBeLessThan(1e-5);
  });
});

test("a mean over positions is not rescaled", async () => {
  const net = new GraphBuilder(9);
  const conv = net.conv("conv", net.input("x", ["batch", 3, 6, 6]), [3, 8]);
  const pooled = net.op("ReduceMean", [conv], { axes: ints([2, 3]), keepdims: int(0) });
  const graph = net.output(net.gemm("head", pooled, [8, 2]));
  const plan = planFrom(findSites(graph), { sparsity: 0.5 });
  const { graph: small } = prune(graph, plan);
  expect(small.nodes("Mul")).toEqual([]);
  expect((await verify(mask(graph, plan), small)).maxRelDiff).toBeLessThan(1e-6);
});

test("a value that is added to itself again and again is looked at once, not 2⁴⁰ times", () => {
  const net = new GraphBuilder(3);
  let x = net.gemm("embed", net.input("x", ["batch", 4]), [4, 8]);
  for (let i = 0; i < 40; i++) x = net.op("Add", [x, x]);
  const graph = net.output(net.op("ReduceL2", [x], { axes: ints([-1]) }));
  expect(findSites(graph).find(({ name }) => name === "embed.neurons")?.prunable).toBe(true);
});
