import { type RandomGenerator, randomGenerator } from "@dgate/core";
import { type Graph, numbersOf, openRunner, tensorOf, type Value, writeModel } from "@dgate/onnx";
import { gradientError } from "@dgate/testing";
import { backward } from "../src/autodiff/backward.ts";
import { GraphDiffOps } from "../src/operators/graph-diff-ops.ts";
import { nameOutput, tidy } from "../src/autodiff/gradients.ts";
import { isDifferentiable } from "../src/autodiff/path.ts";
import { evaluateGraph } from "./float64/evaluate-graph.ts";
import { Float64Ops } from "./float64/float64-ops.ts";
import type { Float64Tensor } from "./float64/tensor.ts";

/** How a derivative is checked. */
export interface CheckOptions {
  /** Names of inputs and initializers to differentiate by; by default all that are floats. */
  readonly wrt?: readonly string[];
  /** Sizes of symbolic dimensions of the inputs (default 2). */
  readonly dims?: Readonly<Record<string, number>>;
  /** What an input holds, by name; by default standard normal numbers. Integers must be given. */
  readonly feeds?: Readonly<Record<string, readonly number[]>>;
  /** Makes an element of an input from a draw of a standard normal number. */
  readonly draw?: (normal: number) => number;
  readonly seed?: number;
  /** Step of the central difference (default 1e-5). */
  readonly step?: number;
}

/** How far a derivative is from the truth. */
export interface CheckedVjp {
  /** Of the rules on float64 arrays from central differences, relative to the gradient's norm. */
  readonly float64: number;
  /** Of the emitted nodes in onnxruntime from float64, relative to the largest element of each gradient. */
  readonly emitted: number;
}

/**
 * Differentiates Σ c∘output with random c by every float input of a graph of opset 18 or later, twice: on float64 arrays, held against
 * central differences of the float64 evaluator, and as emitted nodes run by onnxruntime, held against the first.
 */
export async function checkVjp(model: Graph, options: CheckOptions = {}): Promise<CheckedVjp> {
  const graph = model.clone();
  // Weights move too, so they are inputs here.
  for (const value of wrtOf(graph, options))
    if (!graph.isInput(value) && value.data) graph.declareInput(value);
  const random = randomGenerator(options.seed ?? 1);
  const feeds = drawFeeds(graph, options, random);
  const values = evaluateGraph(graph, feeds);
  const wrt = wrtOf(graph, options);
  const seeds = new Map<Value, Float64Tensor>();
  for (const output of graph.outputs) {
    const found = values.get(output)!;
    if (!isDifferentiable(found.dtype)) continue;
    seeds.set(output, { ...found, data: found.data.map(() => random.normal()) });
  }
  const gradients = backward({
    graph,
    ops: new Float64Ops(),
    tensorOf: (value) => values.get(value)!,
    seeds,
    wrt,
  });
  const at = (value: Value): Float64Tensor => gradients.get(value) ?? zeros(values.get(value)!);
  for (const value of wrt) {
    if (at(value).shape.join() === values.get(value)!.shape.join()) continue;
    throw new Error(
      `gradient of "${value.name}" is [${at(value).shape.join()}], not [${values.get(value)!.shape.join()}]`,
    );
  }
  const error = gradientError(
    (point) => objective(graph, feeds, wrt, point, seeds),
    wrt.map((value) => values.get(value)!.data),
    wrt.map((value) => at(value).data),
    { step: options.step ?? 1e-5 },
  );
  return { float64: error, emitted: await emittedError(graph, feeds, wrt, seeds, at) };
}

function wrtOf(graph: Graph, { wrt }: CheckOptions): Value[] {
  if (wrt) return wrt.map((name) => graph.value(name)!);
  return [...new Set([...graph.inputs, ...graph.initializers])].filter(
    ({ type, data }) => isDifferentiable(data?.dtype ?? type?.dtype) && (data ?? type) !== undefined,
  );
}

function drawFeeds(
  graph: Graph,
  { dims = {}, feeds = {}, draw = (normal) => normal }: CheckOptions,
  random: RandomGenerator,
): Record<string, Float64Tensor> {
  return Object.fromEntries(
    graph.requiredInputs.map(({ name, type }) => {
      const shape = type!.shape!.map((dim) => (typeof dim === "number" ? dim : (dims[dim ?? ""] ?? 2)));
      const count = shape.reduce((a, b) => a * b, 1);
      const given = feeds[name];
      // As float32 numbers, so that both runs are at the same point.
      const data = Float64Array.from(
        { length: count },
        (_, i) => given?.[i] ?? Math.fround(draw(random.normal())),
      );
      return [name, { dtype: type!.dtype, shape, data }];
    }),
  );
}

const zeros = (x: Float64Tensor): Float64Tensor => ({ ...x, data: x.data.map(() => 0) });

function objective(
  graph: Graph,
  feeds: Readonly<Record<string, Float64Tensor>>,
  wrt: readonly Value[],
  point: readonly Float64Array[],
  seeds: ReadonlyMap<Value, Float64Tensor>,
): number {
  const moved = Object.fromEntries(
    wrt.map((value, i) => {
      const shape = value.data?.shape ?? feeds[value.name]!.shape;
      return [value.name, { dtype: "float32" as const, shape, data: point[i]! }];
    }),
  );
  const values = evaluateGraph(graph, { ...feeds, ...moved });
  let sum = 0;
  for (const [output, { data }] of seeds) {
    values.get(output)!.data.forEach((y, i) => {
      sum += y * data[i]!;
    });
  }
  return sum;
}

async function emittedError(
  graph: Graph,
  feeds: Readonly<Record<string, Float64Tensor>>,
  wrt: readonly Value[],
  seeds: ReadonlyMap<Value, Float64Tensor>,
  expected: (value: Value) => Float64Tensor,
): Promise<number> {
  const copy = graph.clone();
  const twin = (value: Value): Value => copy.value(value.name)!;
  const own = new Map(
    [...seeds].map(([value, { dtype, shape }], i) => {
      return [twin(value), copy.addInput(`seed_${i}`, { dtype, shape })] as const;
    }),
  );
  const ops = new GraphDiffOps(copy, "gradient");
  const found = backward({ graph: copy, ops, tensorOf: (value) => value, seeds: own, wrt: wrt.map(twin) });
  const names = wrt.flatMap((value) => (found.has(twin(value)) ? [value] : []));
  copy.setOutputs([]);
  for (const value of names) {
    copy.addOutput(nameOutput(ops, found.get(twin(value))!, `${value.name}.gradient`));
  }
  tidy(copy);
  const inputs = { ...feeds };
  [...seeds.values()].forEach((seed, i) => {
    inputs[`seed_${i}`] = seed;
  });
  const used = copy.requiredInputs.map(({ name }) => name);
  const runner = await openRunner(writeModel(copy));
  const results = await runner.run(
    Object.fromEntries(
      used.map((name) => {
        const { dtype, shape, data } = inputs[name]!;
        return [name, tensorOf(dtype, shape, data)];
      }),
    ),
  );
  await runner.dispose();
  return Math.max(
    0,
    ...names.map((value) => difference(numbersOf(results[`${value.name}.gradient`]!), expected(value).data)),
  );
}

function difference(got: ArrayLike<number>, expected: Float64Array): number {
  if (got.length !== expected.length) return Infinity;
  const scale = Math.max(1, ...expected.map(Math.abs));
  return Math.max(0, ...expected.map((value, i) => Math.abs(value - got[i]!))) / scale;
}
