import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { type CheckedVjp, type CheckOptions, checkVjp } from "../../../test/check-vjp.ts";
import { GraphBuilder } from "../../../test/graph-builder.ts";
import { type Attribute, float, int, ints, string } from "../../graph/attribute.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { product, range } from "./sizes.ts";
import { slidingOf } from "./sliding.ts";
import { weightsByConv, weightsByPatches } from "./weight-gradient.ts";
import { backward } from "../backward.ts";
import { GraphDiffOps } from "../../operators/graph-diff-ops.ts";
import { evaluateGraph } from "../../../test/float64/evaluate-graph.ts";
import { Float64Ops } from "../../../test/float64/float64-ops.ts";
import { float64Tensor, type Float64Tensor } from "../../../test/float64/tensor.ts";
import { tensorOf } from "../../io/tensor-data.ts";

const numRuns = 60;

type Attributes = Readonly<Record<string, Attribute>>;

const network = (build: (net: GraphBuilder) => Value, opset = 18): Graph => {
  const net = new GraphBuilder(1, opset);
  return net.output(build(net));
};

/** What is wrong with the derivatives of a graph: nothing, if they are right. */
async function faults(graph: Graph, options: CheckOptions = {}): Promise<Partial<CheckedVjp>> {
  const { float64, emitted } = await checkVjp(graph, options);
  return { ...(!(float64 < 1e-6) && { float64 }), ...(!(emitted < 1e-4) && { emitted }) };
}

/** Far enough apart that the step of a difference changes no order. */
const distinct = (count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.fround((((i * 7919) % 10_007) - 5000) / 2000));

/** A window of `rank` axes. */
const window = (rank: number) => {
  const list = (min: number, max: number) =>
    fc.array(fc.integer({ min, max }), { minLength: rank, maxLength: rank });
  return fc.record({
    rank: fc.constant(rank),
    kernel: list(1, 3),
    strides: list(1, 3),
    dilations: list(1, 2),
    begin: list(0, 2),
    end: list(0, 2),
    more: list(0, 4),
    autoPad: fc.constantFrom("NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"),
    batch: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 3 }),
    inGroup: fc.integer({ min: 1, max: 3 }),
    outGroup: fc.integer({ min: 1, max: 2 }),
  });
};
const windows = fc.integer({ min: 1, max: 3 }).chain(window);
type RandomWindow = ReturnType<typeof window> extends fc.Arbitrary<infer T> ? T : never;

function windowAttributes({ kernel, strides, dilations, begin, end, autoPad }: RandomWindow): Attributes {
  return {
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
    ...(autoPad === "NOTSET" ? { pads: ints([...begin, ...end]) } : { auto_pad: string(autoPad) }),
  };
}

/** Sizes that hold at least one window. */
const spatialOf = ({ kernel, dilations, more }: RandomWindow): number[] =>
  kernel.map((size, i) => (size - 1) * dilations[i]! + 1 + more[i]!);

/** What padding there is room for: a window may not lie in it alone. */
const fitting = (random: RandomWindow): RandomWindow => ({
  ...random,
  begin: random.begin.map((pad, i) => Math.min(pad, random.kernel[i]! - 1)),
  end: random.end.map((pad, i) => Math.min(pad, random.kernel[i]! - 1)),
});

/** What onnxruntime's poolings take with SAME: no dilations, and strides within the kernel. */
const plainSame = (random: RandomWindow): RandomWindow => ({
  ...random,
  dilations: random.dilations.map(() => 1),
  strides: random.strides.map((stride, i) => Math.min(stride, random.kernel[i]!)),
});

const named = (sizes: readonly number[], symbolic: boolean): (number | string)[] =>
  sizes.map((size, i) => (symbolic ? `size${i}` : size));
const dimsOf = (sizes: readonly number[]): Record<string, number> =>
  Object.fromEntries(sizes.map((size, i) => [`size${i}`, size]));

const convolution = (random: RandomWindow, symbolic = false): Graph => {
  const { group, inGroup, outGroup, batch } = random;
  return network((net) => {
    const sizes = named(spatialOf(random), symbolic);
    const x = net.input("x", [symbolic ? "batch" : batch, group * inGroup, ...sizes]);
    const w = net.weight("w", [group * outGroup, inGroup, ...random.kernel]);
    const b = net.weight("b", [group * outGroup]);
    return net.op("Conv", [x, w, b], { ...windowAttributes(random), group: int(group) });
  });
};

/** Whether the window does not need the size of the input. */
const isOpen = ({ autoPad, strides }: RandomWindow): boolean =>
  !autoPad.startsWith("SAME") || strides.every((stride) => stride === 1);

describe("Conv", () => {
  test("the derivatives of random convolutions are right", async () => {
    await fc.assert(
      fc.asyncProperty(windows, fc.boolean(), async (random, symbolic) => {
        const dims = { batch: random.batch, ...dimsOf(spatialOf(random)) };
        expect(await faults(convolution(random, symbolic && isOpen(random)), { dims })).toEqual({});
      }),
      { numRuns },
    );
  });

  test("both ways to the weight's gradient agree", () => {
    fc.assert(
      fc.property(windows, fc.integer(), (random, seed) => {
        const ops = new Float64Ops();
        const { group, inGroup, outGroup, batch, kernel } = random;
        const normal = (shape: readonly number[]): Float64Tensor => {
          const draw = randomGenerator(seed);
          return float64Tensor(
            shape,
            range(product(shape)).map(() => draw.normal()),
          );
        };
        const x = normal([batch, group * inGroup, ...spatialOf(random)]);
        const node = convolution(random).nodes("Conv")[0]!;
        const sliding = slidingOf(ops, node, x, kernel);
        const w = normal([group * outGroup, inGroup, ...kernel]);
        const [y] = ops.apply("Conv", [x, w], Object.fromEntries(node.attributes));
        const correlation = {
          x,
          g: normal(y!.shape),
          sliding,
          group,
          channels: group * inGroup,
          filters: group * outGroup,
        };
        const byConv = weightsByConv(ops, correlation);
        const byPatches = weightsByPatches(ops, correlation);
        expect(byConv.shape).toEqual(byPatches.shape);
        expect(byConv).toBeAllClose(byPatches);
      }),
      { numRuns },
    );
  });

  test.each([
    {
      name: "many elements",
      shape: [1, 2, 12, 12],
      weight: [2, 2, 9, 8],
      attributes: { pads: ints([2, 0, 1, 3]) },
    },
    {
      name: "a large kernel for each channel",
      shape: [2, 4, 9],
      weight: [8, 1, 7],
      attributes: { group: int(4) },
    },
    {
      name: "5 × 5 for each channel",
      shape: [2, 3, 9, 8],
      weight: [3, 1, 5, 5],
      attributes: { group: int(3), strides: ints([2, 1]) },
    },
    { name: "tiles", shape: [2, 3, 9, 8], weight: [5, 3, 4, 4], attributes: { strides: ints([4, 4]) } },
  ])("$name", async ({ shape, weight, attributes }) => {
    const conv = (net: GraphBuilder, sizes: readonly (number | string)[]): Value =>
      net.op("Conv", [net.input("x", sizes), net.weight("w", weight)], attributes);
    expect(await faults(network((net) => conv(net, shape)))).toEqual({});
    const open = shape.map((size, axis) => (axis === 1 ? size : `size${axis}`));
    expect(
      await faults(
        network((net) => conv(net, open)),
        { dims: dimsOf(shape) },
      ),
    ).toEqual({});
  });

  test("a weight may be computed", async () => {
    const graph = network((net) => {
      const gated = net.op("Mul", [net.weight("w", [4, 3, 3, 3]), net.weight("gate", [4, 1, 1, 1])]);
      return net.op("Conv", [net.input("x", [2, 3, 5, 5]), gated]);
    });
    expect(await faults(graph)).toEqual({});
  });
});

describe("ConvTranspose", () => {
  test("the derivatives of random transposed convolutions are right", async () => {
    await fc.assert(
      fc.asyncProperty(windows, fc.boolean(), fc.boolean(), async (drawn, symbolic, padded) => {
        const random = fitting(drawn);
        const { group, inGroup, outGroup, batch, strides, dilations } = random;
        const sizes = random.more.map((size) => size + 2);
        const extra = strides.map((stride, i) => (padded ? Math.max(stride, dilations[i]!) - 1 : 0));
        const graph = network((net) => {
          const x = net.input("x", [symbolic ? "batch" : batch, group * outGroup, ...named(sizes, symbolic)]);
          const w = net.weight("w", [group * outGroup, inGroup, ...random.kernel]);
          const b = net.weight("b", [group * inGroup]);
          return net.op("ConvTranspose", [x, w, b], {
            ...windowAttributes(random),
            group: int(group),
            output_padding: ints(extra),
          });
        });
        expect(await faults(graph, { dims: { batch, ...dimsOf(sizes) } })).toEqual({});
      }),
      { numRuns },
    );
  });

  test.each([
    { output_shape: ints([9, 8]) },
    { output_shape: ints([10, 10]) },
    { output_shape: ints([7, 8]), auto_pad: string("SAME_UPPER") },
    { output_shape: ints([7, 8]), auto_pad: string("SAME_LOWER") },
  ])("an output_shape is followed: %o", async (attributes) => {
    const graph = network((net) =>
      net.op("ConvTranspose", [net.input("x", [2, 3, 4, 4]), net.weight("w", [3, 2, 3, 3])], {
        strides: ints([2, 2]),
        ...attributes,
      }),
    );
    expect(await faults(graph)).toEqual({});
  });
});

describe.each(["MaxPool", "AveragePool"])("%s", (op) => {
  test("the derivatives of random poolings are right", async () => {
    await fc.assert(
      fc.asyncProperty(
        windows,
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        async (drawn, ceil, include, symbolic) => {
          const random = fitting(drawn.autoPad.startsWith("SAME") ? plainSame(drawn) : drawn);
          const unit = random.strides.every((stride) => stride === 1);
          const open = symbolic && isOpen(random) && (!ceil || unit);
          const { batch, inGroup } = random;
          const sizes = spatialOf(random);
          const graph = network((net) => {
            const x = net.input("x", [open ? "batch" : batch, inGroup, ...named(sizes, open)]);
            return net.op(op, [x], {
              ...windowAttributes(random),
              ceil_mode: int(ceil ? 1 : 0),
              ...(op === "AveragePool" && { count_include_pad: int(include ? 1 : 0) }),
            });
          }, 22);
          const feeds = { x: distinct(batch * inGroup * sizes.reduce((a, b) => a * b, 1)) };
          expect(await faults(graph, { dims: { batch, ...dimsOf(sizes) }, feeds })).toEqual({});
        },
      ),
      { numRuns },
    );
  });
});

/** ∂L/∂x for L = Σ y on float64 arrays. */
function gradientAt(graph: Graph, x: Float64Tensor): number[] {
  const values = evaluateGraph(graph, { x });
  const [output] = graph.outputs;
  const y = values.get(output!)!;
  const gradients = backward({
    graph,
    ops: new Float64Ops(),
    tensorOf: (value) => values.get(value)!,
    seeds: new Map([[output!, { ...y, data: y.data.map(() => 1) }]]),
    wrt: [graph.value("x")!],
  });
  return [...gradients.get(graph.value("x")!)!.data];
}

test.each([
  { kernel: [2], strides: [2], expected: [1, 0, 1, 0, 0] },
  { kernel: [3], strides: [1], expected: [1, 1, 1, 0, 0] },
])("the first of equal maxima takes the gradient: kernel $kernel", ({ kernel, strides, expected }) => {
  const graph = network((net) =>
    net.op("MaxPool", [net.input("x", [1, 1, 5])], { kernel_shape: ints(kernel), strides: ints(strides) }),
  );
  expect(gradientAt(graph, float64Tensor([1, 1, 5], [3, 3, 3, 3, 3]))).toEqual(expected);
});

/** Scales and sizes are constants that nothing is differentiated by. */
const byX: CheckOptions = { wrt: ["x"] };

const numbers = (net: GraphBuilder, values: readonly number[]): Value =>
  net.graph.addInitializer(net.graph.freshName("numbers"), tensorOf("float32", [values.length], values));

const refused = (op: string, attributes: Attributes, opset = 18): Graph =>
  network((net) => {
    const x = net.input("x", ["batch", 2, "h", 7]);
    return net.op(op, op === "Conv" ? [x, net.weight("w", [2, 2, 2, 2])] : [x], attributes);
  }, opset);

describe("what is refused, in one line that says what to do", () => {
  const kernel = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };

  test.each([
    [
      refused("Conv", { strides: ints([2, 2]), auto_pad: string("SAME_UPPER") }),
      /Conv "conv_1".*give the sizes/,
    ],
    [
      refused("MaxPool", { ...kernel, ceil_mode: int(1) }),
      /MaxPool "maxpool_1": its ceil_mode.*give the sizes/,
    ],
    [
      refused(
        "AveragePool",
        { ...kernel, auto_pad: string("SAME_LOWER"), strides: ints([1, 1]), dilations: ints([2, 1]) },
        19,
      ),
      /AveragePool "averagepool_1".*give the pads/,
    ],
  ])("%s", (graph, message) => {
    expect(() => emit(graph)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringMatching(message) as unknown }),
    );
  });
});

const doubled = (mode: string, coordinates: string): Graph =>
  network((net) =>
    net.op("Resize", [net.input("x", ["batch", 2, "h", "w"]), undefined, numbers(net, [1, 1, 2, 3])], {
      mode: string(mode),
      coordinate_transformation_mode: string(coordinates),
      nearest_mode: string("floor"),
    }),
  );

describe("Resize", () => {
  const modes = fc.record({
    mode: fc.constantFrom("nearest", "linear"),
    coordinates: fc.constantFrom("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
    nearest: fc.constantFrom("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    input: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 2 }),
    output: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 2 }),
    by: fc.constantFrom("sizes", "scales", "axes"),
  });

  test("the derivatives of random resizings are right", async () => {
    await fc.assert(
      fc.asyncProperty(modes, async ({ mode, coordinates, nearest, input, output, by }) => {
        // No quotient of sizes, so that its rounding decides nothing.
        const scales = output.map((size, i) => Math.fround((size + 0.3) / input[i]!));
        const graph = network((net) => {
          const x = net.input("x", [2, 2, ...input]);
          const ends =
            by === "scales"
              ? [undefined, numbers(net, [1, 1, ...scales])]
              : [undefined, undefined, net.integers("sizes", by === "axes" ? output : [2, 2, ...output])];
          return net.op("Resize", [x, ...ends], {
            mode: string(mode),
            coordinate_transformation_mode: string(coordinates),
            nearest_mode: string(nearest),
            ...(by === "axes" && { axes: ints([-2, 3]) }),
          });
        });
        expect(await faults(graph, byX)).toEqual({});
      }),
      { numRuns },
    );
  });

  test.each([{ cubic_coeff_a: float(-0.5) }, { exclude_outside: int(1) }])(
    "cubic: %o",
    async (attributes) => {
      const graph = network((net) =>
        net.op(
          "Resize",
          [net.input("x", [1, 2, 4, 5]), undefined, undefined, net.integers("sizes", [1, 2, 7, 3])],
          {
            mode: string("cubic"),
            ...attributes,
          },
        ),
      );
      expect(await faults(graph, byX)).toEqual({});
    },
  );

  test.each([
    { shape: [1, 2, 4], scales: [1, 1, 1.5] },
    { shape: [1, 2, 3, 4, 2], scales: [1, 1, 2, 1.5, 2] },
    { shape: [1, 2, 3, 4], scales: [2, 1, 1, 3] },
  ])("any axes may be resized: $scales", async ({ shape, scales }) => {
    const graph = network((net) =>
      net.op("Resize", [net.input("x", shape), undefined, numbers(net, scales)], {
        mode: string(shape.length === 4 ? "nearest" : "linear"),
        coordinate_transformation_mode: string("asymmetric"),
        nearest_mode: string("floor"),
      }),
    );
    expect(await faults(graph, byX)).toEqual({});
  });

  test("repeating elements needs no sizes", async () => {
    expect(await faults(doubled("nearest", "asymmetric"), { ...byX, dims: { h: 3, w: 2 } })).toEqual({});
  });

  test("cubic interpolation asks for the sizes", () => {
    expect(() => emit(doubled("cubic", "half_pixel"))).toThrow(
      expect.objectContaining({
        code: "UNSUPPORTED",
        message: expect.stringMatching(/Resize "resize_1".*give the sizes/) as unknown,
      }),
    );
  });
});

/** Adds the nodes of the derivative by x. */
function emit(graph: Graph): void {
  const ops = new GraphDiffOps(graph, "gradient");
  const [output] = graph.outputs;
  const seeds = new Map([
    [output!, graph.addInput("seed", { dtype: "float32", shape: ops.shape(output!)! })],
  ]);
  backward({ graph, ops, tensorOf: (value) => value, seeds, wrt: [graph.value("x")!] });
}

describe("moving channels to pixels", () => {
  test.each([
    ["DepthToSpace", { mode: string("DCR") }],
    ["DepthToSpace", { mode: string("CRD") }],
    ["SpaceToDepth", {}],
  ])("%s %o", async (op, attributes) => {
    for (const [h, w] of [
      [4, 6],
      ["h", "w"],
    ] as const) {
      const graph = network((net) =>
        net.op(op, [net.input("x", ["batch", 8, h, w])], { blocksize: int(2), ...attributes }),
      );
      expect(await faults(graph, { dims: { h: 4, w: 6 } })).toEqual({});
    }
  });
});

const padded = (
  pads: readonly number[],
  attributes: Attributes,
  {
    shape = [2, 3, 4] as readonly (number | string)[],
    axes = undefined as readonly number[] | undefined,
  } = {},
): Graph =>
  network((net) => {
    const inputs = [net.input("x", shape), net.integers("pads", pads), net.weight("value", [])];
    const constant = attributes["mode"] === undefined;
    return net.op(
      "Pad",
      [inputs[0], inputs[1], constant ? inputs[2] : undefined, axes && net.integers("axes", axes)],
      attributes,
    );
  }, 19);

describe("Pad", () => {
  test.each([
    { pads: [0, 1, 2, 0, 0, 3] },
    { pads: [0, -1, 2, 1, 0, -1] },
    { pads: [0, -1, -1, 0, -1, -2] },
    { pads: [1, 2, 0, 3], axes: [-1, 0] },
    { pads: [0, 1, 2, 0, 0, 3], shape: ["batch", "n", 4] },
  ])("with a constant: %o", async ({ pads, axes, shape }) => {
    expect(
      await faults(padded(pads, {}, { ...(axes && { axes }), ...(shape && { shape }) }), {
        dims: { n: 3 },
      }),
    ).toEqual({});
  });

  test.each(["edge", "reflect", "wrap"])(
    "elements copied by mode %s take back their gradients",
    async (mode) => {
      for (const pads of [
        [0, 1, 2, 0, 2, 3],
        [0, 0, 3, 0, 1, 0],
        [0, 0, -1, 1, 0, -2],
      ]) {
        if (mode === "reflect" && pads[3] === 1) pads[3] = 0;
        expect(await faults(padded(pads, { mode: string(mode) }))).toEqual({});
      }
      expect(
        await faults(padded([1, 2], { mode: string(mode) }, { shape: ["batch", 3], axes: [1] })),
      ).toEqual({});
    },
  );

  test.each([
    { before: 5, after: 7 },
    { before: 4, after: 0 },
  ])("a mode that goes round several times: %o", ({ before, after }) => {
    for (const mode of ["reflect", "wrap", "edge"]) {
      const graph = padded([before, after], { mode: string(mode) }, { shape: [3] });
      const whole = gradientAt(graph, float64Tensor([3], [1, 2, 3]));
      expect(whole.reduce((a, b) => a + b, 0)).toBe(3 + before + after);
    }
  });

  test("pads may be computed when the graph runs", async () => {
    const graph = network((net) => {
      const pads = net.input("pads", [4], "int64");
      return net.op("Pad", [net.input("x", [2, 3]), pads]);
    });
    expect(await faults(graph, { ...byX, feeds: { pads: [0, 1, 2, 0] } })).toEqual({});
    expect(await faults(graph, { ...byX, feeds: { pads: [0, -1, 2, 1] } })).toEqual({});
  });
});
