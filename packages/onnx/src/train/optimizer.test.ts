import { tolerances } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { Float64Ops } from "../../test/float64/float64-ops.ts";
import { type Float64Tensor, float64Tensor } from "../../test/float64/tensor.ts";
import { adam, type AdamOptions, adamw, type Optimizer, sgd } from "./optimizer.ts";

const start = [0.5, -1.25, 2, 1e-3];
const [rate, steps] = [0.05, 12];
/** Gradients of an uneven bowl, which move with the weights. */
const slopeAt = (w: number, i: number, step: number): number => (i + 1) * w + Math.sin(step * (i + 2));

const scalar = (value: number): Float64Tensor => float64Tensor([], [value]);

/** Runs the emitted form on float64. */
function emitted(optimizer: Optimizer, decays: boolean): number[] {
  const ops = new Float64Ops();
  let parameter = float64Tensor([start.length], start);
  let slots: readonly Float64Tensor[] = Array.from({ length: optimizer.slots }, () =>
    float64Tensor(
      [start.length],
      start.map(() => 0),
    ),
  );
  for (let step = 1; step <= steps; step++) {
    const gradient = float64Tensor(
      [start.length],
      [...parameter.data].map((w, i) => slopeAt(w, i, step)),
    );
    const scalars = optimizer.scalars(step).map(scalar);
    expect(scalars).toHaveLength(optimizer.scalarCount);
    ({ parameter, slots } = optimizer.emit(ops, {
      parameter,
      gradient,
      slots,
      learningRate: scalar(rate),
      scalars,
      decays,
    }));
  }
  return [...parameter.data];
}

/** Runs the loop over typed arrays. */
function inPlace(optimizer: Optimizer, decays: boolean): number[] {
  const parameter = Float32Array.from(start);
  const slots = Array.from({ length: optimizer.slots }, () => new Float32Array(start.length));
  for (let step = 1; step <= steps; step++) {
    optimizer.update({
      parameter,
      // As if clipped to half its length.
      gradient: parameter.map((w, i) => 2 * slopeAt(w, i, step)),
      factor: 0.5,
      slots,
      learningRate: rate,
      scalars: optimizer.scalars(step),
      decays,
    });
  }
  return [...parameter];
}

/** Each weight by itself, as the papers write it. */
function textbook(update: (weight: number, i: number) => (slope: number, step: number) => number): number[] {
  return start.map((first, i) => {
    let w = first;
    const next = update(first, i);
    for (let step = 1; step <= steps; step++) w = next(slopeAt(w, i, step), step);
    return w;
  });
}

const plain = (): number[] =>
  textbook((first) => {
    let w = first;
    return (g) => (w -= rate * g);
  });

/** Sutskever et al. 2013 with the velocity as PyTorch keeps it. */
const withMomentum = (mu: number, nesterov: boolean): number[] =>
  textbook((first) => {
    let [w, velocity] = [first, 0];
    return (g) => {
      velocity = mu * velocity + g;
      w -= rate * (nesterov ? g + mu * velocity : velocity);
      return w;
    };
  });

/** Kingma and Ba 2015, algorithm 1; with decoupled decay Loshchilov and Hutter 2019, algorithm 2. */
const adaptive = ({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 }: AdamOptions, decay = 0): number[] =>
  textbook((first) => {
    let [w, m, v] = [first, 0, 0];
    return (g, t) => {
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g ** 2;
      const corrected = m / (1 - beta1 ** t) / (Math.sqrt(v / (1 - beta2 ** t)) + epsilon);
      w = w - rate * corrected - rate * decay * w;
      return w;
    };
  });

interface Case {
  readonly name: string;
  readonly optimizer: Optimizer;
  readonly expected: () => number[];
  readonly decays?: boolean;
}

const other = { beta1: 0.7, beta2: 0.9, epsilon: 1e-2 };

const cases: readonly Case[] = [
  { name: "sgd", optimizer: sgd(), expected: plain },
  { name: "sgd with momentum", optimizer: sgd({ momentum: 0.9 }), expected: () => withMomentum(0.9, false) },
  {
    name: "sgd of Nesterov",
    optimizer: sgd({ momentum: 0.8, nesterov: true }),
    expected: () => withMomentum(0.8, true),
  },
  { name: "adam", optimizer: adam(), expected: () => adaptive({}) },
  { name: "adam with other constants", optimizer: adam(other), expected: () => adaptive(other) },
  {
    name: "adamw of a weight in no group",
    optimizer: adamw({ weightDecay: 0.3 }),
    expected: () => adaptive({}, 0.3),
    decays: true,
  },
  { name: "adamw by default", optimizer: adamw(), expected: () => adaptive({}, 0.01), decays: true },
  {
    name: "adamw of gates and grouped weights: adam",
    optimizer: adamw({ weightDecay: 0.3 }),
    expected: () => adaptive({}),
  },
];

describe("an optimiser does what its paper says:", () => {
  test.each(cases)("$name", ({ optimizer, expected, decays = false }) => {
    expect(emitted(optimizer, decays)).toBeAllClose(expected());
    expect(inPlace(optimizer, decays)).toBeAllClose(expected(), tolerances.float32);
  });
});

test("constants out of range are refused", () => {
  expect(() => sgd({ momentum: 1 })).toThrow("momentum is 1");
  expect(() => adam({ beta1: -0.1 })).toThrow("beta1 is -0.1");
  expect(() => adam({ epsilon: 0 })).toThrow("epsilon is 0");
  expect(() => adamw({ weightDecay: Number.NaN })).toThrow("weightDecay is NaN");
});
