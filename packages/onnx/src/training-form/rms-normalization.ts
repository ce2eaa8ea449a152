import type { DiffOps } from "../operators/diff-ops.ts";

/** `x / √(mean(x²) + ε) · γ`, the mean over the last axis. */
export function rmsNormalization<T>(
  ops: DiffOps<T>,
  x: T,
  { gamma, epsilon }: { readonly gamma: T; readonly epsilon: number },
): T {
  const root = ops.sqrt(ops.shift(ops.mean(ops.square(x), [-1]), epsilon));
  return ops.mul(ops.div(x, root), gamma);
}
