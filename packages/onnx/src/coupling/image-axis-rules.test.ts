import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { float, floats, int, ints, string } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { mask } from "../prune/mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";

/** What stands between a convolution of 8 filters on 8 × 8 positions and the next one. */
interface Case {
  readonly opset?: number;
  /** Groups of the site, and how many filters a group is. */
  readonly groups: readonly [count: number, blockSize: number];
  /** Returns what the next convolution reads, and its channels. */
  readonly build: (net: GraphBuilder, x: Value) => readonly [Value, number];
}

const window = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };

const constant = (
  net: GraphBuilder,
  name: string,
  shape: readonly number[],
  numbers: readonly number[],
): Value => net.graph.addInitializer(net.graph.freshName(name), tensorOf("float32", shape, numbers));

const parameters = (net: GraphBuilder, size: number): Value[] => [
  net.weight("scale", [size], 0.3, 1),
  net.weight("shift", [size]),
];

function pooled(net: GraphBuilder, x: Value): readonly [Value, Value] {
  const { outputs } = net.graph.addNode({
    op: "MaxPool",
    name: "pool",
    inputs: [x],
    outputs: 2,
    attributes: window,
  });
  return [outputs[0]!, outputs[1]!];
}

const cases: Readonly<Record<string, Case>> = {
  "GroupNormalization, scale for each channel": {
    opset: 21,
    groups: [4, 2],
    build: (net, x) => [
      net.op("GroupNormalization", [x, ...parameters(net, 8)], { num_groups: int(4), epsilon: float(0.1) }),
      8,
    ],
  },
  "GroupNormalization, scale for each group": {
    opset: 18,
    groups: [4, 2],
    build: (net, x) => [
      net.op("GroupNormalization", [x, ...parameters(net, 4)], { num_groups: int(4), epsilon: float(0.1) }),
      8,
    ],
  },
  "GroupNormalization of as many groups as channels": {
    opset: 21,
    groups: [8, 1],
    build: (net, x) => [
      net.op("GroupNormalization", [x, ...parameters(net, 8)], { num_groups: int(8), epsilon: float(0.1) }),
      8,
    ],
  },
  InstanceNormalization: {
    groups: [8, 1],
    build: (net, x) => [
      net.op("InstanceNormalization", [x, ...parameters(net, 8)], { epsilon: float(0.1) }),
      8,
    ],
  },
  "DepthToSpace, block first": {
    groups: [2, 4],
    build: (net, x) => [net.op("DepthToSpace", [x], { blocksize: int(2), mode: string("DCR") }), 2],
  },
  "DepthToSpace, channel first": {
    groups: [2, 4],
    build: (net, x) => [net.op("DepthToSpace", [x], { blocksize: int(2), mode: string("CRD") }), 2],
  },
  SpaceToDepth: {
    groups: [8, 1],
    build: (net, x) => [net.op("SpaceToDepth", [x], { blocksize: int(2) }), 32],
  },
  "MaxUnpool of the places of a MaxPool": {
    groups: [8, 1],
    build: (net, x) => [net.op("MaxUnpool", [...pooled(net, x)], window), 8],
  },
  "MaxUnpool to a given shape": {
    groups: [8, 1],
    build: (net, x) => [
      net.op("MaxUnpool", [...pooled(net, x), net.integers("sizes", [2, 8, 8, 8])], window),
      8,
    ],
  },
  Col2Im: {
    opset: 18,
    groups: [2, 4],
    build: (net, x) => {
      const columns = net.reshape(x, [2, 8, 64]);
      return [net.op("Col2Im", [columns, net.integers("image", [9, 9]), net.integers("block", [2, 2])]), 2];
    },
  },
  RoiAlign: {
    groups: [8, 1],
    build: (net, x) => {
      const boxes = constant(net, "boxes", [3, 4], [0, 0, 4, 4, 1, 2, 7, 6, -3, -3, 9, 9]);
      const size = { output_height: int(5), output_width: int(5) };
      return [net.op("RoiAlign", [x, boxes, net.integers("images", [0, 1, 1])], size), 8];
    },
  },
  MaxRoiPool: {
    groups: [8, 1],
    build: (net, x) => {
      const boxes = constant(net, "boxes", [2, 5], [0, 0, 0, 4, 4, 1, 1, 2, 7, 6]);
      return [net.op("MaxRoiPool", [x, boxes], { pooled_shape: ints([4, 4]) }), 8];
    },
  },
  "GridSample, zeros outside": {
    opset: 16,
    groups: [8, 1],
    build: (net, x) => [net.op("GridSample", [x, net.weight("grid", [2, 5, 5, 2])]), 8],
  },
  "GridSample, border outside": {
    opset: 16,
    groups: [8, 1],
    build: (net, x) => [
      net.op("GridSample", [x, net.weight("grid", [2, 5, 5, 2])], { padding_mode: string("border") }),
      8,
    ],
  },
  "Pad of channels, amounts as an attribute": {
    opset: 10,
    groups: [8, 1],
    build: (net, x) => [net.op("Pad", [x], { pads: ints([0, 1, 0, 0, 0, 2, 0, 0]), value: float(0.5) }), 11],
  },
  "Pad of channels, for listed axes": {
    opset: 18,
    groups: [8, 1],
    build: (net, x) => [
      net.op("Pad", [x, net.integers("pads", [3, 1, 0, 1]), undefined, net.integers("axes", [-3, 2])]),
      11,
    ],
  },
  "Upsample, factors as an attribute": {
    opset: 8,
    groups: [8, 1],
    build: (net, x) => [
      net.op("Upsample", [x], { scales: floats([1, 1, 2, 2]), mode: string("nearest") }),
      8,
    ],
  },
  "Upsample, factors as an input": {
    opset: 9,
    groups: [8, 1],
    build: (net, x) => [net.op("Upsample", [x, constant(net, "scales", [4], [1, 1, 2, 2])]), 8],
  },
  "Resize to sizes of all axes": {
    groups: [8, 1],
    build: (net, x) => [net.op("Resize", [x, undefined, undefined, net.integers("sizes", [2, 8, 5, 11])]), 8],
  },
  "Resize of listed axes": {
    opset: 19,
    groups: [8, 1],
    build: (net, x) => [
      net.op("Resize", [x, undefined, undefined, net.integers("sizes", [5, 11])], { axes: ints([2, 3]) }),
      8,
    ],
  },
  "Tile of channels": {
    groups: [8, 1],
    build: (net, x) => [net.op("Tile", [x, net.integers("repeats", [1, 2, 1, 1])]), 16],
  },
  "Slice backwards over positions": {
    groups: [8, 1],
    build: (net, x) => {
      const ranges = [[-1], [-9], [3], [-2]].map((list, i) => net.integers(`range${i}`, list));
      return [net.op("Slice", [x, ...ranges]), 8];
    },
  },
  Where: {
    groups: [8, 1],
    build: (net, x) => {
      const tenth = net.op("Mul", [x, constant(net, "slope", [1], [0.1])]);
      return [net.op("Where", [net.op("Less", [x, constant(net, "zero", [], [0])]), tenth, x]), 8];
    },
  },
};

function network({ build, opset = 17 }: Pick<Case, "build" | "opset">): Graph {
  const net = new GraphBuilder(1, opset);
  const hidden = net.conv("c1", net.input("x", [2, 3, 8, 8]), [3, 8], { pads: [1, 1, 1, 1] });
  const [y, channels] = build(net, hidden);
  return net.output(net.conv("c2", y, [channels, 3], { kernel: [2, 2] }));
}

describe.each(Object.entries(cases))("%s", (_, each) => {
  test("passes its channels, and masked equals pruned", async () => {
    const graph = network(each);
    const site = findSites(graph).find(({ name }) => name === "c1.filters")!;
    expect([site.prunable, site.groups, site.blockSize]).toEqual([true, ...each.groups]);
    for (const biases of [true, false]) {
      const plan = planFrom(findSites(graph), { sparsity: 0.5, biases });
      const { graph: pruned, report } = prune(graph, plan);
      expect((await verify(mask(graph, plan), pruned)).maxRelDiff).toBeLessThan(1e-5);
      if (!biases) continue;
      expect(report.keptBack).toEqual([]);
      expect(pruned.value("c1/kernel")!.data!.shape).toEqual([4, 3, 3, 3]);
    }
  });
});

const reasons: Readonly<Record<string, readonly [RegExp, Case["build"], number?]>> = {
  LRN: [
    /LRN "norm" normalises over neighbouring channels/,
    (net, x) => [net.op("LRN", [x], { size: int(3) }, "norm"), 8],
  ],
  MeanVarianceNormalization: [
    /MeanVarianceNormalization "norm" divides by the deviation/,
    (net, x) => [net.op("MeanVarianceNormalization", [x], { axes: ints([2, 3]) }, "norm"), 8],
  ],
  "MeanVarianceNormalization with channels in the place of the batch": [
    /MeanVarianceNormalization "norm" divides by the deviation/,
    (net, x) => {
      const turned = net.op("MeanVarianceNormalization", [net.transpose(x, [1, 0, 2, 3])], {}, "norm");
      return [net.transpose(turned, [1, 0, 2, 3]), 8];
    },
  ],
  "GroupNormalization of one group": [
    /GroupNormalization "norm" normalises over the channels of a group/,
    (net, x) => [net.op("GroupNormalization", [x, ...parameters(net, 8)], { num_groups: int(1) }, "norm"), 8],
    21,
  ],
  "MaxPool whose places leave the model": [
    /MaxPool "pool" gives places that count all channels/,
    (net, x) => {
      const [most, places] = pooled(net, x);
      net.graph.addOutput(net.op("Cast", [places], { to: int(1) }));
      return [most, 8];
    },
  ],
  "MaxUnpool to other positions": [
    /MaxUnpool "unpool" puts elements to places that count all channels/,
    (net, x) => [
      net.op("MaxUnpool", [...pooled(net, x), net.integers("sizes", [2, 8, 9, 8])], window, "unpool"),
      8,
    ],
  ],
  "Pad that repeats channels": [
    /Pad "pad" pads this axis/,
    (net, x) => {
      const pads = net.integers("pads", [0, 1, 0, 0, 0, 1, 0, 0]);
      return [net.op("Pad", [x, pads], { mode: string("reflect") }, "pad"), 10];
    },
  ],
  NonMaxSuppression: [
    /NonMaxSuppression "nms" answers with indices of boxes and classes/,
    (net, x) => {
      const boxes = net.reshape(x, [2, 128, 4]);
      const scores = net.op("ReduceMax", [boxes], { axes: ints([2]) });
      const best = net.op("NonMaxSuppression", [boxes, net.transpose(scores, [0, 2, 1])], {}, "nms");
      net.graph.addOutput(best);
      return [x, 8];
    },
  ],
};

test.each(Object.entries(reasons))(
  "%s blocks its channels, with the reason",
  (_, [reason, build, opset = 17]) => {
    const site = findSites(network({ build, opset })).find(({ name }) => name === "c1.filters")!;
    expect(site.prunable).toMatch(reason);
  },
);

test("the largest index over positions leaves the channels free", () => {
  const net = new GraphBuilder();
  const hidden = net.conv("c1", net.input("x", [2, 3, 8, 8]), [3, 8]);
  const best = net.op("Cast", [net.op("ArgMax", [hidden], { axis: int(-1), keepdims: int(0) })], {
    to: int(1),
  });
  const graph = net.output(net.gemm("fc", net.op("Flatten", [best]), [48, 2]));
  expect(findSites(graph).find(({ name }) => name === "c1.filters")).toMatchObject({
    prunable: true,
    groups: 8,
  });
});
