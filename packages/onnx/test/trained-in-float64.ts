import {
  arrayOps,
  collapse,
  factorGradients,
  type Factors,
  type GroupSet,
  initialFactors,
  type NdArray,
  ndArray,
  smoothPenalty,
  smoothPenaltyGradient,
} from "@dgate/core";
import type { Graph, Value } from "@dgate/onnx";
import { backward } from "../src/autodiff/backward.ts";
import { readNumbers } from "../src/io/tensor-data.ts";
import { upgradeOpset } from "../src/training-form/upgrade-opset.ts";
import { evaluateGraph } from "./float64/evaluate-graph.ts";
import { Float64Ops } from "./float64/float64-ops.ts";
import { type Float64Tensor, float64Tensor } from "./float64/tensor.ts";

/** Changes a parameter in place. `step` counts from 1. */
export type Float64Optimizer = (update: {
  readonly name: string;
  readonly parameter: Float64Array;
  readonly gradient: Float64Array;
  readonly rate: number;
  readonly step: number;
}) => void;

/** Arrays of a batch by name; a batch of the trainer that holds numbers is one. */
export type Float64Batch = Readonly<
  Record<string, { readonly data: ArrayLike<number>; readonly shape: readonly number[] }>
>;

/** How `trainInFloat64` trains. */
export interface Float64Training {
  /** The groups of the dense model's weights; those of one set share D − 1 gates. */
  readonly sets: readonly GroupSet[];
  /** Constants of the dense model that are trained, grouped ones included. */
  readonly trained: readonly string[];
  readonly depth: number;
  readonly lambda: number;
  /** Takes the progress of training in [0, 1). */
  readonly learningRate: (progress: number) => number;
  readonly optimizer: Float64Optimizer;
  readonly clipNorm?: number;
}

/** Loss and penalty of each step, before its update. */
export interface Float64Run {
  readonly losses: readonly number[];
  readonly penalties: readonly number[];
}

/**
 * Trains the gated factors of a dense model on the cross-entropy of its only output with `labels`, in float64 and without a training graph: the
 * dense model is evaluated at w = ω·Πγ and differentiated by w, core gives the chain rule to ω and γ and the penalty's gradient.
 */
export function trainInFloat64(
  dense: Graph,
  batches: readonly Float64Batch[],
  { learningRate, optimizer, clipNorm = Infinity, ...options }: Float64Training,
): Float64Run {
  const model = new FactoredModel(dense, options);
  const [losses, penalties]: [number[], number[]] = [[], []];
  for (const [i, batch] of batches.entries()) {
    const { loss, penalty, gradients } = model.differentiate(batch);
    losses.push(loss);
    penalties.push(penalty);
    const norm = Math.sqrt([...gradients.values()].reduce((sum, x) => sum + dot(x, x), 0));
    const factor = Math.min(1, clipNorm / norm);
    for (const [name, gradient] of gradients) {
      const parameter = model.parameters.get(name)!;
      const clipped = gradient.map((g) => factor * g);
      const rate = learningRate(i / batches.length);
      optimizer({ name, parameter, gradient: clipped, rate, step: i + 1 });
    }
  }
  return { losses, penalties };
}

/** m ← μm + g, w ← w − ηm */
export function momentumInFloat64(mu: number): Float64Optimizer {
  const memory = new Map<string, Float64Array>();
  return ({ name, parameter, gradient, rate }) => {
    const m = memory.get(name) ?? new Float64Array(parameter.length);
    memory.set(name, m);
    for (let i = 0; i < m.length; i++) {
      m[i] = mu * m[i]! + gradient[i]!;
      parameter[i]! -= rate * m[i]!;
    }
  };
}

/** Algorithm 1 of Kingma and Ba (2015), with the constants of the paper. */
export function adamInFloat64(): Float64Optimizer {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
  const moments = new Map<string, readonly [Float64Array, Float64Array]>();
  return ({ name, parameter, gradient, rate, step }) => {
    const zeros = () => new Float64Array(parameter.length);
    const [m, v] = moments.get(name) ?? [zeros(), zeros()];
    moments.set(name, [m, v]);
    for (let i = 0; i < parameter.length; i++) {
      m[i] = beta1 * m[i]! + (1 - beta1) * gradient[i]!;
      v[i] = beta2 * v[i]! + (1 - beta2) * gradient[i]! ** 2;
      const mean = m[i]! / (1 - beta1 ** step);
      const square = v[i]! / (1 - beta2 ** step);
      parameter[i]! -= (rate * mean) / (Math.sqrt(square) + epsilon);
    }
  };
}

/** The largest |a − b|/|b| over two runs. */
export function largestDifference(a: ArrayLike<number>, b: readonly number[]): number {
  if (a.length !== b.length) return Infinity;
  return b.reduce((largest, x, i) => Math.max(largest, Math.abs(a[i]! - x) / Math.abs(x)), 0);
}

interface Differentiated {
  readonly loss: number;
  readonly penalty: number;
  /** Of loss and penalty together, by parameter. */
  readonly gradients: ReadonlyMap<string, Float64Array>;
}

type FactoredOptions = Pick<Float64Training, "sets" | "trained" | "depth" | "lambda">;

const ops = arrayOps("float64");

/** A dense model whose grouped weights are products of factors. */
class FactoredModel {
  /** Primary weights and ungrouped constants under their own names, gates as `gate S.D`. */
  readonly parameters = new Map<string, Float64Array>();
  readonly #graph: Graph;
  readonly #options: FactoredOptions;

  constructor(dense: Graph, options: FactoredOptions) {
    const { sets, trained, depth } = options;
    this.#options = options;
    this.#graph = dense.clone();
    upgradeOpset(this.#graph);
    for (const name of trained) {
      const value = this.#graph.value(name)!;
      this.parameters.set(name, Float64Array.from(readNumbers(value.data!)));
      this.#graph.declareInput(value); // so that it can be fed
    }
    sets.forEach((set, s) => {
      const weights = set.members.map(({ name }) => this.parameters.get(name)!);
      const { primary, gates } = initialFactors(set, weights, { depth, scheme: "balanced" });
      set.members.forEach(({ name }, m) => this.parameters.set(name, primary[m]!));
      gates.forEach((gate, d) => this.parameters.set(gateName(s, d), gate));
    });
  }

  differentiate(batch: Float64Batch): Differentiated {
    const { sets, trained, depth, lambda } = this.#options;
    const primary = new Map(trained.map((name) => [name, this.#array(name)]));
    const weights = new Map(primary);
    const factors = sets.map((set, s): Factors<NdArray> => {
      const gates = Array.from({ length: depth - 1 }, (_, d) => this.#array(gateName(s, d), [set.groups]));
      const own = { primary: set.members.map(({ name }) => weights.get(name)!), gates };
      const gated = collapse(ops, set, own);
      set.members.forEach(({ name }, m) => weights.set(name, gated[m]!));
      return own;
    });
    const { loss, gradients } = this.#lossGradients(batch, weights);
    let penalty = 0;
    // A weight of several sets has passed through them in order.
    for (const [s, set] of [...sets.entries()].toReversed()) {
      const slopes = set.members.map(({ name }) => gradients.get(name)!);
      const own = factorGradients(ops, set, factors[s]!, slopes);
      set.members.forEach(({ name }, m) => gradients.set(name, own.primary[m]!));
      own.gates.forEach((gate, d) => gradients.set(gateName(s, d), gate));
    }
    for (const [s, set] of sets.entries()) {
      const penalised = {
        primary: set.members.map(({ name }) => primary.get(name)!),
        gates: factors[s]!.gates,
      };
      penalty += smoothPenalty(ops, set, penalised, lambda).data[0]!;
      const slopes = smoothPenaltyGradient(ops, set, penalised, lambda);
      const add = (name: string, slope: NdArray) => gradients.set(name, ops.add(gradients.get(name)!, slope));
      set.members.forEach(({ name }, m) => add(name, slopes.primary[m]!));
      slopes.gates.forEach((slope, d) => add(gateName(s, d), slope));
    }
    const arrays = [...gradients].map(([name, { data }]) => [name, Float64Array.from(data)] as const);
    return { loss, penalty, gradients: new Map(arrays) };
  }

  #array(name: string, shape: readonly number[] = this.#graph.value(name)!.data!.shape): NdArray {
    return ndArray(this.parameters.get(name)!, shape);
  }

  /** Loss of the dense model at given weights, and its gradient. */
  #lossGradients(
    { labels, ...batch }: Float64Batch,
    weights: ReadonlyMap<string, NdArray>,
  ): { readonly loss: number; readonly gradients: Map<string, NdArray> } {
    const graph = this.#graph;
    const feeds = [...Object.entries(batch), ...weights].map(([name, { data, shape }]) => {
      return [name, float64Tensor(shape, data, graph.value(name)!.type?.dtype ?? "float32")] as const;
    });
    const values = evaluateGraph(graph, Object.fromEntries(feeds));
    const output = graph.outputs[0]!;
    const { loss, slope } = crossEntropyOf(values.get(output)!, labels!.data);
    const found = backward({
      graph,
      ops: new Float64Ops(),
      tensorOf: (value: Value) => values.get(value)!,
      seeds: new Map([[output, slope]]),
      wrt: [...weights.keys()].map((name) => graph.value(name)!),
    });
    const gradients = [...found].map(([{ name }, { data, shape }]) => [name, ndArray(data, shape)] as const);
    return { loss, gradients: new Map(gradients) };
  }
}

const gateName = (set: number, d: number): string => `gate ${set}.${d}`;

/** Mean of −log softmax(row)[label] over the rows, and its derivative (softmax(row) − onehot(label)) / rows. */
function crossEntropyOf(
  logits: Float64Tensor,
  labels: ArrayLike<number>,
): { readonly loss: number; readonly slope: Float64Tensor } {
  const classes = logits.shape.at(-1)!;
  const rows = labels.length;
  const slope = new Float64Array(logits.data.length);
  let loss = 0;
  for (let r = 0; r < rows; r++) {
    const row = logits.data.subarray(r * classes, (r + 1) * classes);
    const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
    loss += (top + Math.log(total) - row[labels[r]!]!) / rows;
    row.forEach((x, c) => {
      slope[r * classes + c] = (Math.exp(x - top) / total - (c === labels[r] ? 1 : 0)) / rows;
    });
  }
  return { loss, slope: { ...logits, data: slope } };
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
