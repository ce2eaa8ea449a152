import { DgateError } from "@dgate/core";
import type { DiffOps } from "../operators/diff-ops.ts";

/**
 * A step of an optimiser, written twice: over `DiffOps`, for updates inside of the graph, and as a loop over typed arrays, which is
 * faster where arrays are at hand.
 */
export interface Optimizer {
  readonly name: "sgd" | "adam" | "adamw";
  /** Plain data that says all of it: written into checkpoints. */
  readonly config: Readonly<Record<string, number | boolean>>;
  /** How many arrays of a parameter's size it remembers per parameter. */
  readonly slots: number;
  /** Numbers of a step, from 1 on, beside the learning rate. */
  scalars(step: number): readonly number[];
  /** How many numbers `scalars` gives. */
  readonly scalarCount: number;
  /** The new parameter and slots. `decays` tells whether decoupled weight decay is for this parameter. */
  emit<T>(ops: DiffOps<T>, state: OptimizerState<T>): { readonly parameter: T; readonly slots: readonly T[] };
  /** The same in place. */
  update(state: ArrayState): void;
}

/** What an update reads. */
export interface OptimizerState<T> {
  readonly parameter: T;
  readonly gradient: T;
  readonly slots: readonly T[];
  readonly learningRate: T;
  readonly scalars: readonly T[];
  /** Whether decoupled weight decay is for this parameter: not for what is in a group, whose penalty is in the loss. */
  readonly decays: boolean;
}

/** What an update in place reads and writes. */
export interface ArrayState {
  readonly parameter: Float32Array;
  readonly gradient: Float32Array;
  readonly slots: readonly Float32Array[];
  readonly learningRate: number;
  readonly scalars: readonly number[];
  readonly decays: boolean;
  /** What the gradient is multiplied with first, for clipping. */
  readonly factor: number;
}

function check(where: string, name: string, value: number, low: number, high: number): void {
  if (value >= low && value < high) return;
  throw new DgateError(
    "OPTION",
    `${where}: ${name} is ${value}, expected a number from ${low} to below ${high}.`,
  );
}

/** Options of `sgd`. */
export interface SgdOptions {
  /** μ of the momentum `m ← μm + g`, `w ← w − η·m` (default 0). */
  readonly momentum?: number;
  /** Looks ahead: `w ← w − η·(g + μm)`. */
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent, with momentum if asked for. */
export function sgd({ momentum = 0, nesterov = false }: SgdOptions = {}): Optimizer {
  check("sgd", "momentum", momentum, 0, 1);
  return {
    name: "sgd",
    config: { momentum, nesterov },
    slots: momentum === 0 ? 0 : 1,
    scalars: () => [],
    scalarCount: 0,
    emit(ops, { parameter, gradient, slots: [memory], learningRate }) {
      if (!memory) return { parameter: ops.sub(parameter, ops.mul(gradient, learningRate)), slots: [] };
      const next = ops.add(ops.scale(memory, momentum), gradient);
      const direction = nesterov ? ops.add(ops.scale(next, momentum), gradient) : next;
      return { parameter: ops.sub(parameter, ops.mul(direction, learningRate)), slots: [next] };
    },
    update({ parameter, gradient, slots: [memory], learningRate, factor }) {
      const { length } = parameter;
      if (!memory) {
        const rate = learningRate * factor;
        for (let i = 0; i < length; i++) parameter[i]! -= rate * gradient[i]!;
        return;
      }
      for (let i = 0; i < length; i++) {
        const g = factor * gradient[i]!;
        const next = momentum * memory[i]! + g;
        memory[i] = next;
        parameter[i]! -= learningRate * (nesterov ? momentum * next + g : next);
      }
    },
  };
}

/** Options of `adam`. */
export interface AdamOptions {
  /** Decay of the mean of the gradients (default 0.9). */
  readonly beta1?: number;
  /** Decay of the mean of their squares (default 0.999). */
  readonly beta2?: number;
  /** Added to the root of the second (default 1e-8). */
  readonly epsilon?: number;
}

/** Options of `adamw`. */
export interface AdamWOptions extends AdamOptions {
  /** Decoupled weight decay of the parameters that are in no group (default 0.01). */
  readonly weightDecay?: number;
}

/** Adam (Kingma and Ba 2015): `w ← w − η·m̂ / (√v̂ + ε)`. The D-Gating penalty is in the loss, as it must be. */
export function adam(options: AdamOptions = {}): Optimizer {
  return adaptive("adam", options, 0);
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019) on the parameters that are in no group. Gates and gated weights have their
 * penalty in the loss: decoupled decay would make another objective of it.
 */
export function adamw({ weightDecay = 0.01, ...options }: AdamWOptions = {}): Optimizer {
  check("adamw", "weightDecay", weightDecay, 0, Infinity);
  return adaptive("adamw", options, weightDecay);
}

function adaptive(
  name: "adam" | "adamw",
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions,
  weightDecay: number,
): Optimizer {
  check(name, "beta1", beta1, 0, 1);
  check(name, "beta2", beta2, 0, 1);
  check(name, "epsilon", epsilon, Number.MIN_VALUE, Infinity);
  return {
    name,
    config: { beta1, beta2, epsilon, ...(name === "adamw" && { weightDecay }) },
    slots: 2,
    // m̂ = m/(1 − β₁^t), √v̂ = √v/√(1 − β₂^t)
    scalars: (step) => [1 / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step)],
    scalarCount: 2,
    emit(ops, { parameter, gradient, slots, learningRate, scalars, decays }) {
      const mean = ops.add(ops.scale(slots[0]!, beta1), ops.scale(gradient, 1 - beta1));
      const square = ops.add(ops.scale(slots[1]!, beta2), ops.scale(ops.square(gradient), 1 - beta2));
      const root = ops.shift(ops.mul(ops.sqrt(square), scalars[1]!), epsilon);
      const step = ops.div(ops.mul(mean, ops.mul(learningRate, scalars[0]!)), root);
      const kept =
        decays && weightDecay > 0
          ? ops.sub(parameter, ops.mul(parameter, ops.scale(learningRate, weightDecay)))
          : parameter;
      return { parameter: ops.sub(kept, step), slots: [mean, square] };
    },
    update({ parameter, gradient, slots, learningRate, scalars, decays, factor }) {
      const [means, squares] = [slots[0]!, slots[1]!];
      const rate = learningRate * scalars[0]!;
      const rootScale = scalars[1]!;
      const kept = decays ? 1 - learningRate * weightDecay : 1;
      for (let i = 0; i < parameter.length; i++) {
        const g = factor * gradient[i]!;
        const mean = beta1 * means[i]! + (1 - beta1) * g;
        const square = beta2 * squares[i]! + (1 - beta2) * g * g;
        means[i] = mean;
        squares[i] = square;
        parameter[i] = kept * parameter[i]! - (rate * mean) / (Math.sqrt(square) * rootScale + epsilon);
      }
    },
  };
}
