import { fc } from "@dgate/testing";
import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import { stackedProduct } from "./stacked-gates.ts";

/** Gates `[D − 1, groups]`, zeros among them, and a weight for each group's product. */
const stacks = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 6 }))
  .chain(([count, groups]) => {
    const value = fc.integer({ min: -8, max: 8 }).map((quarters) => quarters / 4);
    const row = fc.array(value, { minLength: groups, maxLength: groups });
    return fc.record({ gates: fc.array(row, { minLength: count, maxLength: count }), slope: row });
  });

const productWithout = (gates: readonly (readonly number[])[], j: number, without?: number): number =>
  gates.reduce((product, gate, d) => (d === without ? product : product * gate[j]!), 1);

test("the product of the gates and its gradient are those of float64, gates of zero too", async () => {
  await fc.assert(
    fc.asyncProperty(stacks, async ({ gates, slope }) => {
      const x = tf.tensor2d(gates);
      const weighted = (y: tf.Tensor): tf.Scalar => tf.sum(tf.mul(stackedProduct(y), slope));
      const product = stackedProduct(x);
      const gradient = tf.grad(weighted)(x);
      expect(product.shape).toEqual([slope.length]);
      // Small fractions of powers of two: exact in float32.
      expect([...(await product.data())]).toEqual(
        slope.map((_, j) => expect.closeTo(productWithout(gates, j), 5)),
      );
      expect(await gradient.array()).toEqual(
        gates.map((row, d) => row.map((_, j) => expect.closeTo(slope[j]! * productWithout(gates, j, d), 5))),
      );
    }),
  );
});

/** Kernels that the product of so many gates and its gradient take. */
async function kernelsFor(count: number): Promise<number> {
  const gates = tf.ones([count, 3]);
  const { kernels } = await tf.profile(() => tf.grad((x) => tf.sum(stackedProduct(x)))(gates));
  return kernels.length;
}

test("more gates take no more kernels", async () => {
  const some = await kernelsFor(3);
  for (const count of [4, 5, 8]) expect(await kernelsFor(count)).toBe(some);
});
