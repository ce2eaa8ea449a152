import {
  balancedFactors,
  collapse,
  defineGroups,
  smoothPenalty,
  sparsePenalty,
  squaredGroupNorms,
  type TensorOps,
} from "@dgate/core";
import { describeTensorOps } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { Graph, type Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { graphOps } from "./graph-ops.ts";

/** The numbers of a value, computed by onnxruntime as it is written: its optimizer would fold all of it beforehand. */
async function evaluate(graph: Graph, value: Value): Promise<ArrayLike<number>> {
  const copy = graph.clone();
  const source = copy.value(value.name)!;
  copy.addOutput(copy.addNode({ op: "Identity", inputs: [source], name: "result" }).outputs[0]!);
  removeDeadCode(copy);
  const runner = await openRunner(writeModel(copy), { session: { graphOptimizationLevel: "disabled" } });
  try {
    const [result] = Object.values(await runner.run({}));
    expect(result!.shape).toEqual(value.type!.shape);
    return numbersOf(result!);
  } finally {
    await runner.dispose();
  }
}

for (const dtype of ["float32", "float64"] as const) {
  let graph: Graph;
  const makeOps = (): TensorOps<Value> => {
    graph = new Graph("conformance");
    return graphOps(graph, { dtype });
  };
  describeTensorOps(`graphOps on ONNX values, ${dtype},`, makeOps, {
    toNumbers: (x) => evaluate(graph, x),
    tolerance: dtype,
  });
}

describe("graphOps", () => {
  test("gates a weight inside a model: inputs go through onnxruntime, gates are initializers that can be set", async () => {
    const graph = new Graph("gated");
    const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 2] });
    const set = defineGroups([{ name: "w", shape: [2, 3], layout: { kind: "axis", axis: 1 } }]);
    const omega = graph.addInitializer("w", tensorOf("float32", [2, 3], [1, 2, 3, 4, 5, 6]));
    const gate = graph.addInitializer("w.gate", tensorOf("float32", [3], [1, 0, 2]));
    const [w] = collapse(graphOps(graph), set, { primary: [omega], gates: [gate] });
    graph.addOutput(graph.addNode({ op: "MatMul", inputs: [x, w] }).outputs[0]!);
    expect(String(graph)).toMatchInlineSnapshot(`
      "graph "gated" (ai.onnx 17)
        input %x: float32[batch, 2]
        const %w: float32[2, 3]
        const %w.gate: float32[3]
        %gating/Mul: float32[2, 3] = Mul(%w, %w.gate)
        %MatMul_output_0 = MatMul(%x, %gating/Mul)
        return %MatMul_output_0"
    `);
    const runner = await openRunner(writeModel(graph));
    const [y] = Object.values(await runner.run({ x: { data: [1, 10], shape: [1, 2] } }));
    expect([...numbersOf(y!)]).toEqual([41, 0, 126]);
    await runner.dispose();
  });

  test("the penalties of balanced factors are equal, computed by the model itself", async () => {
    const graph = new Graph("penalty");
    const ops = graphOps(graph);
    const layout = { kind: "blocks", axis: 0, blockSize: 2 } as const;
    const set = defineGroups([{ name: "w", shape: [4, 3], layout }], { weights: "sqrt-size" });
    const w = ops.constant([1, -2, 3, 0.5, 2, 1, 0.25, -1, 4, 2, 2, 1], [4, 3]);
    const factors = balancedFactors(ops, set, [w], 3);
    const smooth = await evaluate(graph, smoothPenalty(ops, set, factors, 0.1));
    expect(smooth).toBeAllClose(await evaluate(graph, sparsePenalty(ops, set, [w], 0.1, 3)), "float32");
    expect(smooth[0]).toBeGreaterThan(1);
  });

  test.each<[string, (ops: TensorOps<Value>, graph: Graph) => unknown, RegExp]>([
    [
      "a value of symbolic shape",
      (ops, graph) => ops.square(graph.addInput("x", { dtype: "float32", shape: ["batch", 2] })),
      /"x" is \[batch, 2\], expected a static shape/,
    ],
    ["a value of unknown shape", (ops, graph) => ops.abs(graph.addValue("y")), /"y" is of unknown shape/],
    [
      "shapes that do not broadcast",
      (ops) => ops.sub(ops.constant([1, 2], [2]), ops.constant([1, 2, 3], [3])),
      /\[2\] and \[3\] do not broadcast/,
    ],
    ["an axis outside the shape", (ops) => ops.sum(ops.scalar(1), [0]), /axis 0, which \[\] does not have/],
    ["a shape of another size", (ops) => ops.reshape(ops.scalar(1), [2]), /\[\] cannot be reshaped to \[2\]/],
    ["an index outside the axis", (ops) => ops.gather(ops.constant([1], [1]), [1]), /index 1 .* length 1/],
    [
      "a segment outside the count",
      (ops) => ops.segmentSum(ops.constant([1, 2], [2]), [0, 2], 2),
      /got \[2\] and 2 segments up to 2/,
    ],
  ])("refuses %s", (_, run, message) => {
    const graph = new Graph("refused");
    expect(() => run(graphOps(graph), graph)).toThrow(message);
  });

  test.each([7, 11, 13])("sums over axes and gates by index run in opset %i", async (opset) => {
    const graph = new Graph("old", [["", opset]]);
    const ops = graphOps(graph);
    const w = ops.constant([1, 2, 3, 4, 5, 6], [2, 3]);
    expect(Array.from(await evaluate(graph, ops.sum(w, [0])))).toEqual([5, 7, 9]);
    const layout = { kind: "indices", axis: 1, groups: 2, assignment: [1, 0, -1] } as const;
    const set = defineGroups([{ name: "w", shape: [2, 3], layout }]);
    const factors = { primary: [w], gates: [ops.constant([10, 100], [2])] };
    const [gated] = collapse(ops, set, factors);
    expect(Array.from(await evaluate(graph, gated!))).toEqual([100, 20, 3, 400, 50, 6]);
    // ‖ω_j‖² of the columns 1 and 0.
    expect(Array.from(await evaluate(graph, squaredGroupNorms(ops, set, factors.primary)))).toEqual([29, 17]);
  });

  test("float16 weights are gated in float16", async () => {
    const graph = new Graph("half");
    const ops = graphOps(graph, { dtype: "float16" });
    const set = defineGroups([
      { name: "w", shape: [2, 2], layout: { kind: "blocks", axis: 0, blockSize: 2 } },
    ]);
    const half = (values: readonly number[], shape: readonly number[]): Value => ops.constant(values, shape);
    const [gated] = collapse(ops, set, { primary: [half([1, 2, 3, 4], [2, 2])], gates: [half([0.5], [1])] });
    expect(gated!.type?.dtype).toBe("float16");
    expect(Array.from(await evaluate(graph, gated!))).toEqual([0.5, 1, 1.5, 2]);
  });

  test("refuses an operator set that is too old for an operation", () => {
    expect(() => graphOps(new Graph("old", [["", 6]]))).toThrow(
      /has opset 6, but the operations need 7 or later/,
    );
    const ops = graphOps(new Graph("old", [["", 15]]));
    expect(() => ops.segmentSum(ops.constant([1, 2, 3], [3]), [0, 0, 1], 2)).toThrow(
      /has opset 15, .* not runs of an axis need 16/,
    );
  });
});
