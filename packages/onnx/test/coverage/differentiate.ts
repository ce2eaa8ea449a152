import { DgateError, type RandomGenerator, randomGenerator } from "@dgate/core";
import {
  type Graph,
  gradients,
  int,
  numbersOf,
  openRunner,
  randomInputs,
  type Runner,
  type RunTensor,
  type Tensor,
  tensorOf,
  trainingForm,
  type Value,
} from "@dgate/onnx";
import { gradientName } from "../../src/autodiff/gradients.ts";
import { isDifferentiable, pathBetween } from "../../src/autodiff/path.ts";
import { inferShapes } from "../../src/infer/infer-shapes.ts";
import { readNumbers } from "../../src/io/tensor-data.ts";
import { learnedConstants } from "../../src/train/learned-constants.ts";
import { dequantizeModel } from "../../src/training-form/dequantize.ts";
import { evaluateGraph } from "../float64/evaluate-graph.ts";
import { type Float64Tensor, float64Of } from "../float64/tensor.ts";
import { faultsOf } from "../gradient-graph.ts";
import type { Feeding } from "./prune-heads.ts";

/** How far outputs of the training form may be from the model's, relative to the largest; of a model of halves, as they round. */
const sameForward = { float32: 1e-4, float16: 1e-2 };

/** How far an emitted gradient may be from float64, relative to the largest element. */
const sameEmitted = 1e-3;

/** A gradient this much smaller than the largest one is rounding: of what cancels, as the bias of keys in a softmax. */
const cancelled = 1e-3;

/** How far the slope along a direction may be from central differences, relative to what a random direction has. */
const sameSlope = 1e-5;

/** Weights move as their gradients ask for, but none further than those of a gradient this small beside the largest. */
const small = 1e-2;

/** The first one is right but where a kink lies within it. */
const steps = [1e-6, 1e-7, 1e-8, 1e-5];

/** Of a model with more weights, one direction is tried. */
const large = 2e6;

const lossName = "coverage.loss";

/**
 * Differentiates Σ c∘output, with random c, by all weights of a model: `exact` where the training form computes what the model does, the
 * emitted gradient what the same nodes do in float64, and that one what central differences of the training form are; what is refused, or what is wrong.
 */
export async function differentiable(graph: Graph, feeding: Feeding): Promise<string> {
  let float: Graph;
  let form: Graph;
  const random = randomGenerator(1);
  try {
    float = dequantizeModel(graph);
    drawEvenWeights(float, random);
    form = trainingForm(float);
  } catch (error) {
    return refusal(error);
  }
  const runner = await openRunner(float, runtimeOf(feeding));
  const { feeds, outputs } = await closing(runner, () => drawn(float, runner, feeding, random));
  const weights = learnedConstants(form);
  addLoss(form, outputs, random);
  let wrt: Value[];
  let emitted: Graph;
  try {
    wrt = parametersOf(form, weights);
    if (wrt.length === 0) return "FAILS: nothing to learn";
    emitted = gradients(form, {
      loss: lossName,
      wrt: wrt.map(({ name }) => name),
      outputs: Object.keys(outputs),
    });
  } catch (error) {
    return refusal(error);
  }
  const [fault] = faultsOf(emitted);
  if (fault) return `FAILS: ${fault}`;
  const fed = inTypesOf(form, feeds);
  const backward = await openRunner(emitted, runtimeOf(feeding));
  const results = await closing(backward, () => backward.run(onlyInputsOf(emitted, fed)));
  const halves = [...float.values].some(({ data, type }) => /float16/.test((data ?? type)?.dtype ?? ""));
  const inputs = Object.fromEntries(Object.entries(fed).map(([name, feed]) => [name, float64Of(feed)]));
  const values = evaluateGraph(emitted, inputs);
  const exact = (name: string): Float64Tensor => values.get(emitted.value(name)!)!;
  return (
    forwardProblem(results, outputs, halves ? sameForward.float16 : sameForward.float32) ??
    emittedProblem(results, exact, wrt) ??
    slopeProblem(form, inputs, wrt, exact, random) ??
    (wrt.some(({ data }) => data) ? "exact" : "exact, by its inputs: it has no weights")
  );
}

/** Of weights that are all one number, as toy models have, sums are large and say little: random ones of that size take their place. */
function drawEvenWeights(graph: Graph, random: RandomGenerator): void {
  for (const value of graph.initializers) {
    const { data } = value;
    if (data?.dtype !== "float32" || data.shape.length < 2) continue;
    const numbers = readNumbers(data);
    const [first] = numbers;
    if (numbers.length < 2 || !first || !Number.isFinite(first) || !numbers.every((x) => x === first))
      continue;
    const scale = first / Math.sqrt(data.shape[0]!);
    const others = Float64Array.from({ length: numbers.length }, () => scale * random.normal());
    graph.setData(value, tensorOf("float32", data.shape, others));
  }
}

/** The weights that the loss depends on; of a model that gets its weights as inputs, those. */
function parametersOf(form: Graph, learned: readonly Value[]): Value[] {
  const inference = inferShapes(form);
  const reached = (values: readonly Value[]): Value[] => {
    const loss = form.value(lossName)!;
    const path = pathBetween(form, values, [loss], (value) => inference.types.get(value)?.dtype);
    return values.filter((value) => path.values.has(value));
  };
  const weights = reached(learned);
  if (weights.length > 0) return weights;
  return reached(form.requiredInputs.filter(({ type }) => isDifferentiable(type!.dtype)));
}

async function closing<T>(runner: Runner, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    await runner.dispose();
  }
}

const runtimeOf = ({ runtime }: Feeding) => (runtime ? { runtime } : {});

type Feeds = Readonly<Record<string, Tensor>>;
type Outputs = Readonly<Record<string, RunTensor>>;

/** Feeds that the model accepts, and what it makes of them. */
async function drawn(
  graph: Graph,
  runner: Runner,
  { feeds, dims = {} }: Feeding,
  random: RandomGenerator,
): Promise<{ readonly feeds: Feeds; readonly outputs: Outputs }> {
  if (feeds?.[0]) return { feeds: feeds[0], outputs: await runner.run(feeds[0]) };
  const run = async (size: number, past: number) => {
    const made = randomInputs(graph, random, dims, size, past);
    return { feeds: made, outputs: await runner.run(made) };
  };
  return run(2, 1)
    .catch(() => run(2, 0))
    .catch(() => run(1, 0));
}

/** Float inputs are float32 in the training form. */
const inTypesOf = (form: Graph, feeds: Feeds): Feeds =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, tensor]) => {
      const dtype = form.value(name)?.type?.dtype ?? tensor.dtype;
      return [name, dtype === tensor.dtype ? tensor : tensorOf(dtype, tensor.shape, readNumbers(tensor))];
    }),
  );

const onlyInputsOf = (graph: Graph, feeds: Feeds): Feeds =>
  Object.fromEntries(graph.requiredInputs.map(({ name }) => [name, feeds[name]!]));

/** Σ c∘output over all float outputs. */
function addLoss(form: Graph, outputs: Outputs, random: RandomGenerator): void {
  const parts = form.outputs.flatMap((output) => {
    const { dtype, shape } = outputs[output.name]!;
    const count = shape.reduce((a, b) => a * b, 1);
    if (!isDifferentiable(dtype) || count === 0) return [];
    const numbers = Float64Array.from({ length: count }, () => random.normal());
    const factors = form.addInitializer(
      form.freshName("coverage.factors"),
      tensorOf("float32", shape, numbers),
    );
    const product = form.addNode({ op: "Mul", inputs: [output, factors] }).outputs[0];
    return form.addNode({ op: "ReduceSum", inputs: [product], attributes: { keepdims: int(0) } }).outputs;
  });
  const loss = form.addValue(lossName);
  form.addNode({ op: "Sum", inputs: parts, outputs: [loss], name: lossName });
}

function forwardProblem(got: Outputs, expected: Outputs, tolerance: number): string | undefined {
  for (const [name, output] of Object.entries(expected)) {
    if (output.dtype === "string") continue;
    const error = relativeError(numbersOf(got[name]!), numbersOf(output));
    if (!(error <= tolerance)) return `DIFFERS: output "${name}" by ${error.toExponential(0)}`;
  }
  return undefined;
}

function emittedProblem(
  results: Outputs,
  exact: (name: string) => Float64Tensor,
  wrt: readonly Value[],
): string | undefined {
  const names = wrt.map(({ name }) => gradientName(name));
  const scale = Math.max(...names.map((name) => largest(exact(name).data)));
  if (!(scale > 0 && scale < Infinity)) return `DIFFERS: the largest gradient is ${scale}`;
  for (const name of names) {
    const error = relativeError(numbersOf(results[name]!), exact(name).data, scale * cancelled);
    if (!(error <= sameEmitted)) return `DIFFERS: "${name}" by ${error.toExponential(0)}`;
  }
  return undefined;
}

/**
 * Along two random directions, the slope of the training form in float64 against its gradient. Weights with a small gradient move further, so
 * that a wrong one shows.
 */
function slopeProblem(
  form: Graph,
  inputs: Readonly<Record<string, Float64Tensor>>,
  wrt: readonly Value[],
  exact: (name: string) => Float64Tensor,
  random: RandomGenerator,
): string | undefined {
  const gradient = wrt.map(({ name }) => exact(gradientName(name)));
  const start = wrt.map((value) => (value.data ? float64Of(value.data) : inputs[value.name]!));
  for (const value of wrt) if (!form.isInput(value)) form.declareInput(value);
  const norms = gradient.map(({ data }) => Math.sqrt(dot(data, data)));
  const least = small * Math.max(...norms);
  const reach = norms.map((each) => least / Math.max(each, least));
  const norm = Math.hypot(...norms.map((each, k) => each * reach[k]!));
  const count = start.reduce((sum, { data }) => sum + data.length, 0);
  const errors = (count > large ? [1] : [1, 2]).map(() => {
    const draw = spread(random);
    const direction = start.map(({ data }, k) => data.map(() => reach[k]! * draw()));
    const claimed = gradient.reduce((sum, { data }, k) => sum + dot(data, direction[k]!), 0);
    const at = (step: number): number => {
      const moved = start.map((x, k) => ({ ...x, data: x.data.map((v, i) => v + step * direction[k]![i]!) }));
      const feeds = Object.fromEntries(wrt.map(({ name }, k) => [name, moved[k]!]));
      return evaluateGraph(form, { ...inputs, ...feeds }).get(form.value(lossName)!)!.data[0]!;
    };
    let closest = Infinity;
    for (const step of steps) {
      const measured = (at(step) - at(-step)) / (2 * step);
      closest = Math.min(closest, Math.abs(measured - claimed) / Math.max(norm, Math.abs(claimed)));
      if (closest <= sameSlope) break;
    }
    return closest;
  });
  const error = Math.max(...errors);
  return error <= sameSlope ? undefined : `DIFFERS: slope by ${error.toExponential(0)}`;
}

/** Numbers between −1 and 1 by xorshift: for millions of them, a better generator takes longer than the model. */
function spread(random: RandomGenerator): () => number {
  let state = random.integer(2 ** 31) + 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  };
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

const largest = (numbers: ArrayLike<number>): number => {
  let most = 0;
  for (let i = 0; i < numbers.length; i++) {
    const size = Math.abs(numbers[i]!);
    if (!(size <= most)) most = size;
  }
  return most;
};

/** Largest difference relative to the largest expected number, or to `least`; infinite where a number is none. */
function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>, least = 0): number {
  if (got.length !== expected.length) return Infinity;
  let most = 0;
  for (let i = 0; i < got.length; i++) {
    const difference = Math.abs(got[i]! - expected[i]!);
    if (Object.is(got[i], expected[i])) continue;
    if (!(difference <= most)) most = difference;
  }
  if (most === 0) return 0;
  const error = most / Math.max(largest(expected), least);
  return Number.isNaN(error) ? Infinity : error;
}

/** What is refused, from the error: operator and reason. Any other error is ours. */
function refusal(error: unknown): string {
  if (!(error instanceof DgateError)) throw error;
  if (error.code !== "UNSUPPORTED") return `FAILS: ${error.message}`;
  const flow = /^gradients: (\w+ ".*") is control flow/.exec(error.message);
  return `no: ${flow ? `control flow, ${flow[1]}` : error.message}`;
}
