import { makePlan } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { FusedBuilder } from "../../test/models/fused-builder.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { string } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { verify } from "../verify/verify.ts";
import { fingerprint, mask } from "../prune/mask.ts";
import { prune } from "../prune/prune.ts";

const alive = [0, 2, 4, 5];

/** Removes channels 1 and 3 of the first layer, whose biases still come through a Sigmoid. */
async function pruneFirst(
  graph: Graph,
): Promise<{ readonly difference: number; readonly reasons: string[] }> {
  const axis = { site: "c1", tensor: "c1/kernel", axis: 0, size: 6, blockSize: 1, kept: alive };
  const plan = makePlan({ fingerprint: fingerprint(graph), axes: [axis] });
  const { graph: pruned, report } = prune(graph, plan);
  const { maxRelDiff } = await verify(mask(graph, plan), pruned);
  return { difference: maxRelDiff, reasons: report.keptBack.map(({ reason }) => reason) };
}

const first = (net: GraphBuilder): Value =>
  net.op("Sigmoid", [net.conv("c1", net.input("x", ["batch", 3, 5, 5]), [3, 6], { kernel: [1, 1] })]);

/** Known at run time only. */
const computedBias = (net: GraphBuilder): Value =>
  net.op("Mul", [net.weight("c2/bias", [5]), net.input("scale", [5])]);

describe("constants of removed channels go to", () => {
  test("an Add on the channels of a Conv whose own bias is computed", async () => {
    const net = new GraphBuilder();
    const y = net.op("Conv", [first(net), net.weight("w", [5, 6, 1, 1]), computedBias(net)], {}, "c2");
    const { difference, reasons } = await pruneFirst(net.output(y));
    expect(reasons).toEqual([]);
    expect(difference).toBeLessThan(2e-6);
  });

  test("an Add of their own beside one on the columns of the image, as many as there are channels", async () => {
    const net = new GraphBuilder();
    const y = net.op("Conv", [first(net), net.weight("w", [5, 6, 1, 1]), computedBias(net)], {}, "c2");
    const sum = net.op("Add", [y, net.weight("columns", [1, 1, 1, 5])], {}, "columns");
    const { difference, reasons } = await pruneFirst(net.output(sum));
    expect(reasons).toEqual([]);
    expect(difference).toBeLessThan(2e-6);
  });

  test("the Add on the channels that follows", async () => {
    const net = new GraphBuilder();
    const y = net.op("Conv", [first(net), net.weight("w", [5, 6, 1, 1]), computedBias(net)], {}, "c2");
    const sum = net.op("Add", [y, net.weight("shift", [5, 1, 1])], {}, "shift");
    const { difference, reasons } = await pruneFirst(net.output(sum));
    expect(reasons).toEqual([]);
    expect(difference).toBeLessThan(2e-6);
  });
});

test("a layer with an activation of its own and a computed bias holds channels back that emit a constant", async () => {
  const net = new FusedBuilder();
  const inputs = [first(net), net.weight("w", [5, 6, 1, 1]), computedBias(net)];
  const attributes = { activation: string("Relu") };
  const { difference, reasons } = await pruneFirst(
    net.output(net.fused("FusedConv", inputs, { name: "c2", attributes })[0]!),
  );
  expect(difference).toBeLessThan(2e-6);
  // One channel carries the constant of the other.
  expect(reasons).toHaveLength(1);
  expect(reasons[0]).toMatch(/the bias of .*"c2" is computed/);
});
