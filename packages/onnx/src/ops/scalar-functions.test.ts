import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { type Attribute, float, string } from "../graph/attribute.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { NodeView } from "../infer/view.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { binaryOps, unaryOps } from "./families.ts";
import { binaryFunctions, erf, unaryFunctions } from "./scalar-functions.ts";

const positive = Array.from({ length: 41 }, (_, i) => 1 + i / 8);
const around = Array.from({ length: 81 }, (_, i) => (i - 40) / 8);
const small = around.map((x) => x / 6);

/** Where an operator is defined; everywhere from −5 to 5 if it is not listed. */
const domains: Readonly<Record<string, readonly number[]>> = {
  Acos: small,
  Asin: small,
  Atanh: small,
  Tan: small,
  Acosh: positive,
  Log: positive,
  Reciprocal: positive,
  Sqrt: positive,
};

/** Attributes other than the defaults, beside them. */
const variants: readonly (readonly [op: string, attributes: Readonly<Record<string, Attribute>>])[] = [
  ...unaryOps.filter((op) => op !== "Not").map((op) => [op, {}] as const),
  ["Celu", { alpha: float(0.7) }],
  ["Elu", { alpha: float(0.5) }],
  ["Gelu", { approximate: string("tanh") }],
  ["HardSigmoid", { alpha: float(0.3), beta: float(0.4) }],
  ["LeakyRelu", { alpha: float(0.2) }],
  ["Selu", { alpha: float(1.2), gamma: float(0.9) }],
  ["Shrink", { lambd: float(1), bias: float(0.5) }],
  ["ThresholdedRelu", { alpha: float(0.5) }],
];

test.each(variants)("%s of one number is what onnxruntime computes (%o)", async (op, attributes) => {
  const numbers = Float32Array.from(domains[op] ?? around);
  const net = new GraphBuilder(1, 20);
  const x = net.input("x", [numbers.length]);
  const bounds =
    op === "Clip"
      ? [-1.5, 2].map((bound, i) => net.graph.addInitializer(`bound${i}`, tensorOf("float32", [], [bound])))
      : [];
  const y = net.op(op, [x, ...bounds], attributes);
  const graph = net.output(y);
  const runner = await openRunner(writeModel(graph));
  const result = await runner.run({ x: { data: numbers } });
  await runner.dispose();
  const f = unaryFunctions[op as (typeof unaryOps)[number]](
    new NodeView(graph, graph.nodes()[0]!, inferShapes(graph)),
  )!;
  const expected = numbersOf(result[y.name]!);
  const scale = Math.max(...expected.map(Math.abs));
  numbers.forEach((number, i) =>
    expect(Math.abs(f(number) - expected[i]!)).toBeLessThan(2e-6 * Math.max(1, scale)),
  );
});

const logical = new Set<string>(["And", "Or", "Xor"]);

test.each(binaryOps.filter((op) => !logical.has(op) && op !== "Mod"))(
  "%s folds its operands as onnxruntime does",
  async (op) => {
    const a = Float32Array.from(positive);
    const b = Float32Array.from(positive.toReversed());
    const net = new GraphBuilder(1, 20);
    const y = net.op(op, [net.input("a", [a.length]), net.input("b", [b.length])]);
    const runner = await openRunner(writeModel(net.output(y)));
    const result = numbersOf((await runner.run({ a: { data: a }, b: { data: b } }))[y.name]!);
    await runner.dispose();
    a.forEach((x, i) => {
      const value = binaryFunctions[op](x, b[i]!) / (op === "Mean" ? 2 : 1);
      expect(Math.abs(value - result[i]!)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
    });
  },
);

test("erf is exact to 1e-14 at reference points", () => {
  // Abramowitz and Stegun, table 7.1, and erf(3) from its continued fraction.
  const table: readonly (readonly [number, number])[] = [
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
  ];
  for (const [x, value] of table) {
    expect(Math.abs(erf(x) - value)).toBeLessThan(1e-14);
    expect(erf(-x)).toBe(-erf(x));
  }
});
