import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { type Attribute, int, ints, string } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { inferShapes } from "./infer-shapes.ts";
import { reshapeGroups } from "./reshape-groups.ts";

const shapeOf = (graph: Graph, value: Value) => inferShapes(graph).types.get(value)?.shape;

/** Shapes that onnxruntime gives for zeros. */
async function runShape(
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): Promise<readonly number[]> {
  const runner = await openRunner(writeModel(graph));
  const feeds = Object.entries(inputs).map(([name, shape]) => {
    return [name, tensorOf("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)))] as const;
  });
  const result = await runner.run(Object.fromEntries(feeds));
  await runner.dispose();
  return result[graph.outputs[0]!.name]!.shape;
}

describe("shapes", () => {
  test("every sliding window has the size that onnxruntime gives it", async () => {
    const window = fc.record({
      op: fc.constantFrom("Conv", "ConvTranspose", "MaxPool", "AveragePool"),
      size: fc.integer({ min: 5, max: 11 }),
      kernel: fc.integer({ min: 1, max: 3 }),
      stride: fc.integer({ min: 1, max: 3 }),
      dilation: fc.integer({ min: 1, max: 2 }),
      pads: fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 1 })),
      autoPad: fc.constantFrom("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
      ceil: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(window, async ({ op, size, kernel, stride, dilation, pads, autoPad, ceil }) => {
        const net = new GraphBuilder(1, 20);
        const x = net.input("x", [1, 2, size]);
        const pool = op.endsWith("Pool");
        const same = autoPad.startsWith("SAME");
        const attributes: Record<string, Attribute> = {
          kernel_shape: ints([kernel]),
          // With SAME, onnxruntime knows no dilation and no stride past the kernel.
          strides: ints([same ? Math.min(stride, kernel) : stride]),
          dilations: ints([same ? 1 : dilation]),
          ...(autoPad === "NOTSET"
            ? { pads: ints(pads.map((pad) => Math.min(pad, kernel - 1))) }
            : { auto_pad: string(autoPad) }),
          // onnxruntime itself disagrees with the standard for ceil_mode together with auto_pad.
          ...(pool && autoPad === "NOTSET" && { ceil_mode: int(ceil ? 1 : 0) }),
        };
        const y = net.op(op, pool ? [x] : [x, net.weight("w", [2, 2, kernel])], attributes);
        const graph = net.output(y);
        expect(shapeOf(graph, y)).toEqual(await runShape(graph, { x: [1, 2, size] }));
      }),
      { numRuns: 150 },
    );
  });

  test("a symbolic batch passes through flatten, reshape and matrix products", () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 3, 4, 5]);
    const flat = net.op("Flatten", [x]);
    const rows = net.reshape(x, [-1, 5]);
    const product = net.matmul("fc", rows, [5, 7]);
    const back = net.reshape(product, [-1, 3, 4, 7]);
    const graph = net.output(flat, back);
    expect(shapeOf(graph, flat)).toEqual(["batch", 60]);
    expect(shapeOf(graph, rows)).toEqual(["12·batch", 5]);
    expect(shapeOf(graph, back)).toEqual(["batch", 3, 4, 7]);
    expect(inferShapes(graph, { dims: { batch: 2 } }).types.get(rows)?.shape).toEqual([24, 5]);
  });

  test("arithmetic on shapes is followed: Shape, Gather, Concat, Reshape", () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", "time", 12]);
    const shape = net.op("Shape", [x]);
    const pick = (index: number): Value => {
      const at = net.graph.addInitializer(`index${index}`, tensorOf("int64", [], [index]));
      return net.op("Unsqueeze", [net.op("Gather", [shape, at]), net.integers("axes", [0])]);
    };
    const target = net.op("Concat", [pick(0), pick(1), net.integers("heads", [3, -1])], { axis: int(0) });
    const y = net.op("Reshape", [x, target]);
    expect(shapeOf(net.output(y), y)).toEqual(["batch", "time", 3, 4]);
  });

  test("an operator without a rule keeps what the file declares, and nothing is invented", () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 4]);
    const y = net.graph.addNode({ op: "Mystery", domain: "example", inputs: [x] }).outputs[0]!;
    const z = net.op("Relu", [y]);
    const graph = net.output(z);
    expect(shapeOf(graph, z)).toBeUndefined();
    y.type = { dtype: "float32", shape: ["batch", 9] };
    expect(shapeOf(graph, z)).toEqual(["batch", 9]);
  });

  test("a factor is applied in float32, as onnxruntime does: 10 · 0.7 is 7", async () => {
    for (const factor of [0.7, 0.9, 1.3, 2.1]) {
      const net = new GraphBuilder();
      const scales = net.graph.addInitializer("scales", tensorOf("float32", [4], [1, 1, factor, factor]));
      const y = net.op("Resize", [net.input("x", [1, 2, 10, 30]), undefined, scales]);
      const graph = net.output(y);
      expect(shapeOf(graph, y)).toEqual(await runShape(graph, { x: [1, 2, 10, 30] }));
    }
  });

  test("slices, splits, pads and reductions give the sizes of onnxruntime", async () => {
    const cases: readonly ((net: GraphBuilder, x: Value) => Value)[] = [
      (net, x) =>
        net.op("Slice", [
          x,
          net.integers("s", [1, -3]),
          net.integers("e", [100, -1]),
          net.integers("a", [1, 2]),
        ]),
      (net, x) =>
        net.op("Slice", [
          x,
          net.integers("s", [0]),
          net.integers("e", [6]),
          net.integers("a", [-1]),
          net.integers("t", [2]),
        ]),
      (net, x) =>
        net.graph.addNode({
          op: "Split",
          inputs: [x],
          outputs: 3,
          attributes: { axis: int(1), num_outputs: int(3) },
        }).outputs[2]!,
      (net, x) => net.op("Pad", [x, net.integers("p", [0, 1, 2, 0, 3, 0])]),
      (net, x) => net.op("ReduceSum", [x, net.integers("a", [-1])], { keepdims: int(0) }),
      (net, x) => net.op("ReduceMax", [x, net.integers("a", [0, 2])]),
      (net, x) => net.op("Tile", [x, net.integers("r", [1, 2, 3])]),
      (net, x) =>
        net.op("Expand", [net.op("Unsqueeze", [x, net.integers("a", [1])]), net.integers("e", [1, 4, 1, 1])]),
      (net, x) => net.op("ArgMax", [x], { axis: int(1), keepdims: int(0) }),
      (net, x) => net.op("Transpose", [x]),
      (net, x) => net.op("Gather", [x, net.integers("i", [0, 2])], { axis: int(2) }),
    ];
    for (const make of cases) {
      const net = new GraphBuilder(1, 20);
      const y = make(net, net.input("x", [2, 8, 6]));
      const graph = net.output(y);
      expect(shapeOf(graph, y)).toEqual(await runShape(graph, { x: [2, 8, 6] }));
    }
  });
});

const count = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);
const parts = (from: readonly (number | string)[], to: readonly (number | string)[]): string[] =>
  reshapeGroups(from, to).map(
    ({ input, output }) => `${from.slice(...input).join("·")} → ${to.slice(...output).join("·")}`,
  );

describe("reshape groups", () => {
  test("a reshape falls into its smallest independent parts", () => {
    expect(parts(["batch", 8, 5, 5], ["batch", 200])).toEqual(["batch → batch", "8·5·5 → 200"]);
    expect(parts([2, 1, 6], [2, 6])).toEqual(["2 → 2", "1 → ", "6 → 6"]);
    expect(parts(["n", "t", 12], ["n", "t", 3, 4])).toEqual(["n → n", "t → t", "12 → 3·4"]);
    expect(parts([4, 6, 5], [2, 12, 5])).toEqual(["4·6 → 2·12", "5 → 5"]);
  });

  test("the parts of any reshape hold equally many elements", () => {
    const dims = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(dims, fc.nat(), (from, cut) => {
        const at = cut % from.length;
        const merged = [...from.slice(0, at), from.slice(at).reduce((a, b) => a * b, 1)];
        for (const { input, output, exact } of reshapeGroups(from, merged)) {
          expect(exact).toBe(true);
          expect(count(from.slice(...input))).toBe(count(merged.slice(...output)));
        }
      }),
    );
  });
});
