import { describe, expect, test } from "vitest";
import { digits } from "./digits.ts";
import type { ImageSet } from "./image-set.ts";

describe("digits", () => {
  test("the same seed draws the same images, another seed others", () => {
    const [a, b, c] = [
      digits({ count: 20, seed: 3 }),
      digits({ count: 20, seed: 3 }),
      digits({ count: 20, seed: 4 }),
    ];
    expect(a.images).toEqual(b.images);
    expect(a.labels).toEqual(b.labels);
    expect(a.images).not.toEqual(c.images);
  });

  test("classes are balanced and pixels lie in [0, 1] with ink in every image", () => {
    const { images, labels, count } = digits({ count: 500, seed: 1 });
    const perClass = Array.from(
      { length: 10 },
      (_, digit) => labels.filter((label) => label === digit).length,
    );
    expect(perClass).toEqual(Array.from({ length: 10 }, () => 50));
    expect(images.every((value) => value >= 0 && value <= 1)).toBe(true);
    for (let i = 0; i < count; i++) {
      const dark = images.subarray(i * 784, (i + 1) * 784).filter((value) => value > 0.5).length;
      expect(dark).toBeGreaterThan(8);
    }
  });

  test("without noise the paper is white", () => {
    const { images } = digits({ count: 10, seed: 1, noise: 0 });
    expect(images.filter((value) => value === 0).length).toBeGreaterThan(10 * 784 * 0.5);
  });

  test("a wrong count or strength is an OPTION error", () => {
    for (const count of [0, 1.5, NaN, 1e9]) expect(() => digits({ count })).toThrow(/digits: count is/);
    expect(() => digits({ count: 1, elastic: -1 })).toThrow(/digits: elastic is -1/);
  });

  test("softmax regression trained on 6,000 images stays between 70 % and 90 % on fresh ones", () => {
    const accuracy = linearAccuracy(digits({ count: 6000, seed: 1 }), digits({ count: 2000, seed: 2 }));
    expect(accuracy).toBeLessThan(0.9);
    expect(accuracy).toBeGreaterThan(0.7);
  }, 120_000);
});

/** Test accuracy of softmax regression by SGD with momentum, the rate held, then falling to 0 (12 epochs: past its best). */
function linearAccuracy(train: ImageSet, fresh: ImageSet): number {
  const [epochs, batch, classes, size] = [12, 100, 10, 784];
  const weights = new Float32Array(size * classes);
  const bias = new Float32Array(classes);
  const [velocity, biasVelocity, logits] = [
    new Float32Array(size * classes),
    new Float32Array(classes),
    new Float64Array(classes),
  ];
  const predict = (x: Float32Array): void => {
    logits.set(bias);
    for (let i = 0; i < size; i++) {
      const value = x[i]!;
      if (value === 0) continue;
      for (let c = 0; c < classes; c++) logits[c]! += value * weights[i * classes + c]!;
    }
  };
  const steps = (epochs * train.count) / batch;
  for (let step = 0; step < steps; step++) {
    const gradient = new Float32Array(size * classes);
    const biasGradient = new Float32Array(classes);
    for (let k = 0; k < batch; k++) {
      const row = (step * batch + k) % train.count;
      const x = train.images.subarray(row * size, (row + 1) * size);
      predict(x);
      const top = Math.max(...logits);
      const exponentials = logits.map((value) => Math.exp(value - top));
      const sum = exponentials.reduce((a, b) => a + b, 0);
      const error = exponentials.map((value, c) => (value / sum - (train.labels[row] === c ? 1 : 0)) / batch);
      for (let i = 0; i < size; i++) {
        const value = x[i]!;
        if (value === 0) continue;
        for (let c = 0; c < classes; c++) gradient[i * classes + c]! += value * error[c]!;
      }
      error.forEach((value, c) => (biasGradient[c]! += value));
    }
    const rate = 0.1 * Math.min(1, (1 - step / steps) / 0.3);
    for (let i = 0; i < weights.length; i++) {
      velocity[i] = 0.9 * velocity[i]! + gradient[i]!;
      weights[i]! -= rate * velocity[i]!;
    }
    for (let c = 0; c < classes; c++) {
      biasVelocity[c] = 0.9 * biasVelocity[c]! + biasGradient[c]!;
      bias[c]! -= rate * biasVelocity[c]!;
    }
  }
  let right = 0;
  for (let row = 0; row < fresh.count; row++) {
    predict(fresh.images.subarray(row * size, (row + 1) * size));
    if (logits.indexOf(Math.max(...logits)) === fresh.labels[row]) right++;
  }
  return right / fresh.count;
}
