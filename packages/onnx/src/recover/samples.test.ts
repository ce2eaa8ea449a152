import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { chooseRows, samplesOf } from "./samples.ts";

const convolution = fc.record({
  seed: fc.nat(),
  kernel: fc.constantFrom([3], [1, 1], [3, 2], [2, 3], [2, 1, 2]),
  stride: fc.constantFrom(1, 2),
  dilation: fc.constantFrom(1, 2),
  padding: fc.constantFrom("none", "uneven", "SAME_UPPER", "SAME_LOWER"),
  group: fc.constantFrom(1, 2, 4),
});

test("weights times the inputs of a position are what onnxruntime's Conv gives there", async () => {
  await fc.assert(
    fc.asyncProperty(convolution, async ({ seed, kernel, stride, dilation, padding, group }) => {
      const net = new GraphBuilder(seed, 17);
      const spatial = kernel.map((_, i) => 6 + i);
      const x = net.input("x", [2, 4, ...spatial]);
      const pads = [...kernel.map((_, i) => (i === 0 ? 2 : 0)), ...kernel.map(() => 1)];
      const y = net.conv("conv", x, [4, 8], {
        kernel,
        group,
        bias: false,
        strides: kernel.map(() => stride),
        // Runtimes do not agree on SAME together with dilations.
        ...(padding.startsWith("SAME")
          ? { autoPad: padding }
          : { dilations: kernel.map(() => dilation), ...(padding === "uneven" && { pads }) }),
      });
      const graph = net.output(y);
      const node = graph.nodes("Conv")[0]!;
      const weight = node.inputs[1]!.data!;
      const random = randomGenerator(seed);
      const shape = [2, 4, ...spatial];
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal());
      const runner = await openRunner(writeModel(graph));
      const output = (await runner.run({ x: { data, shape } }))[y.name]!;
      await runner.dispose();
      const activation = { shape: output.shape, numbers: numbersOf(output) };
      const samples = samplesOf(node, { shape, numbers: data }, activation, weight.shape)!;
      const w = readNumbers(weight);
      const k = w.length / 8;
      const inputs = new Float64Array(k);
      expect(samples.count * 8).toBe(activation.numbers.length);
      for (let row = 0; row < samples.count; row++) {
        for (let j = 0; j < 8; j++) {
          samples.inputs(row, Math.floor(j / (8 / group)), inputs);
          const product = inputs.reduce((sum, value, i) => sum + value * w[j * k + i]!, 0);
          expect(Math.abs(product - samples.output(row, j))).toBeLessThan(1e-4);
        }
      }
    }),
    { numRuns: 40 },
  );
});

test("rows of a transposed Gemm input are its columns", () => {
  const net = new GraphBuilder(1);
  net.op("Gemm", [net.input("x", [2, 3]), net.weight("w", [2, 1])], { transA: { kind: "int", value: 1 } });
  const node = net.graph.nodes("Gemm")[0]!;
  const x = { shape: [2, 3], numbers: [1, 2, 3, 4, 5, 6] };
  const samples = samplesOf(node, x, { shape: [3, 1], numbers: [7, 8, 9] }, [2, 1])!;
  const out = new Float64Array(2);
  const rows = [0, 1, 2].map((row) => {
    samples.inputs(row, 0, out);
    return [...out, samples.output(row, 0)];
  });
  expect(rows).toEqual([
    [1, 4, 7],
    [2, 5, 8],
    [3, 6, 9],
  ]);
});

test("input and output with different rows have no samples", () => {
  const net = new GraphBuilder(1);
  net.op("MatMul", [net.input("x", [2, 3]), net.weight("w", [3, 1])]);
  const node = net.graph.nodes("MatMul")[0]!;
  const x = { shape: [2, 3], numbers: [1, 2, 3, 4, 5, 6] };
  expect(samplesOf(node, x, { shape: [3, 1], numbers: [7, 8, 9] }, [3, 1])).toBeUndefined();
});

test("chosen rows are different, ascending and of equal chance", () => {
  const random = randomGenerator(9);
  const hits = new Float64Array(10);
  for (let run = 0; run < 3000; run++) {
    const rows = chooseRows(10, 4, random);
    expect(rows.length).toBe(4);
    expect(rows).toEqual([...new Set(rows)].sort((a, b) => a - b));
    for (const row of rows) hits[row]! += 1;
  }
  // 1200 expected of each; the standard deviation is 27.
  for (const count of hits) expect(Math.abs(count - 1200)).toBeLessThan(5 * 27);
  expect(chooseRows(3, 4, random)).toEqual([0, 1, 2]);
});
