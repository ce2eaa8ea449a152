import {
  type Feed,
  findSites,
  type GateOptions,
  type Graph,
  insertGates,
  openRunner,
  writeModel,
} from "@dgate/onnx";
import { randomGenerator } from "@dgate/core";
import { foldGates } from "../../src/gating/fold-gates.ts";
import { resolveGates } from "../../src/gating/resolve-gates.ts";
import { readNumbers, tensorOf } from "../../src/io/tensor-data.ts";
import { sgd } from "../../src/train/optimizer.ts";
import {
  type TrainingGraph,
  trainingGraph,
  type TrainingGraphOptions,
} from "../../src/train/training-graph.ts";
import { trainingNames } from "../../src/train/training-names.ts";
import { evaluateGraph } from "../float64/evaluate-graph.ts";
import type { Float64Tensor } from "../float64/tensor.ts";

/** What one run of a training graph gives. */
export interface MeasuredStep {
  readonly training: TrainingGraph;
  readonly loss: number;
  readonly penalty: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** A gated copy with gates that are neither one nor balanced, so that nothing cancels by accident. */
export function unevenlyGated(dense: Graph, options: GateOptions = {}, seed = 3): Graph {
  const gated = insertGates(dense, findSites(dense), options);
  const random = randomGenerator(seed);
  for (const { gates } of resolveGates(gated)) {
    for (const gate of gates) {
      const numbers = readNumbers(gate.data!).map(
        () => (random.next() < 0.3 ? -1 : 1) * (0.5 + random.next()),
      );
      gated.setData(gate, tensorOf("float32", gate.data!.shape, numbers));
    }
  }
  return gated;
}

/** Runs the training graph once, where the model starts. */
export async function measureStep(
  gated: Graph,
  options: Partial<TrainingGraphOptions> & Pick<TrainingGraphOptions, "loss">,
  feeds: Readonly<Record<string, Feed>>,
  lambda = 0,
): Promise<MeasuredStep> {
  const training = trainingGraph(gated, {
    train: "groups",
    groupWeights: "none",
    penalty: "smooth",
    depth: 2,
    updates: "host",
    optimizer: sgd(),
    clipNorm: undefined,
    ...options,
  });
  const runner = await openRunner(writeModel(training.graph));
  const own = training.parameters.map(
    ({ name, shape, initial }) => [name, { data: initial(), shape }] as const,
  );
  const needed = new Set(training.batchInputs.map(({ name }) => name));
  const results = await runner.run({
    ...Object.fromEntries(Object.entries(feeds).filter(([name]) => needed.has(name))),
    ...Object.fromEntries(own),
    [trainingNames.lambda]: { data: Float32Array.of(lambda), shape: [] },
  });
  await runner.dispose();
  const numbers = (name: string): Float32Array => results[name]!.data as Float32Array;
  return {
    training,
    loss: numbers(trainingNames.loss)[0]!,
    penalty: numbers(trainingNames.penalty)[0]!,
    gradients: new Map(
      training.parameters.map(({ name }) => [name, numbers(trainingNames.gradient(name))] as const),
    ),
  };
}

/** Feeds as the float64 evaluator takes them. */
export function float64Feeds(
  graph: Graph,
  feeds: Readonly<Record<string, { readonly data: ArrayLike<number>; readonly shape: readonly number[] }>>,
): Record<string, Float64Tensor> {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { data, shape }]) => {
      const dtype = graph.value(name)?.type?.dtype ?? "float32";
      return [name, { dtype, shape, data: Float64Array.from(data) }];
    }),
  );
}

/** Outputs of a gated model in float64 as a function of arrays that take the place of its constants. */
export function float64Outputs(
  gated: Graph,
  feeds: Readonly<Record<string, Float64Tensor>>,
): (arrays: ReadonlyMap<string, Float64Array>) => Map<string, Float64Tensor> {
  const graph = gated.clone();
  for (const value of graph.initializers) if (!graph.isInput(value)) graph.declareInput(value);
  return (arrays) => {
    const moved = [...arrays].map(([name, data]) => {
      return [name, { dtype: "float32" as const, shape: graph.value(name)!.data!.shape, data }] as const;
    });
    const own = graph.inputs.flatMap(({ name }) => (feeds[name] ? [[name, feeds[name]] as const] : []));
    const values = evaluateGraph(graph, { ...Object.fromEntries(own), ...Object.fromEntries(moved) });
    return new Map(graph.outputs.map((value) => [value.name, values.get(value)!]));
  };
}

/** λ/D·Σ(‖ω_j‖² + Σγ²) over all gate sets, or λ/K·Σγ² where the weights are frozen, by loops over the elements. */
export function plainPenalty(
  gated: Graph,
  arrays: ReadonlyMap<string, ArrayLike<number>>,
  lambda: number,
  {
    frozen = false,
    weightOf = () => 1,
  }: { readonly frozen?: boolean; readonly weightOf?: (size: number) => number } = {},
): number {
  let total = 0;
  const numbers = (name: string): ArrayLike<number> =>
    arrays.get(name) ?? readNumbers(gated.value(name)!.data!);
  const { groups } = foldGates(gated);
  for (const [s, { set, gates, weights }] of resolveGates(gated).entries()) {
    const squares = new Float64Array(set.groups);
    const sizes = new Float64Array(set.groups);
    for (const gate of gates) Array.from(numbers(gate.name)).forEach((g, j) => (squares[j]! += g * g));
    weights.forEach(({ value }, m) => {
      const { axis } = groups[s]!.members[m]!;
      const { shape } = value.data!;
      const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
      const perGroup = shape[axis]! / set.groups;
      Array.from(numbers(value.name)).forEach((w, i) => {
        const j = Math.floor((Math.floor(i / inner) % shape[axis]!) / perGroup);
        sizes[j]! += 1;
        if (!frozen) squares[j]! += w * w;
      });
    });
    const factors = gates.length + (frozen ? 0 : 1);
    squares.forEach((square, j) => {
      total += (lambda / factors) * weightOf(sizes[j]!) * square;
    });
  }
  return total;
}
