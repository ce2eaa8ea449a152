import { intAttribute } from "../../ops/attributes.ts";
import type { VjpTable } from "../vjp.ts";

/** Softmax and its logarithm over an axis. */
export const softmaxes: VjpTable = {
  // y ∘ (g − Σ g∘y)
  Softmax: [
    (ops, { node, outputs: [y] }, g) => {
      const weighted = ops.mul(g, y!);
      return ops.sub(weighted, ops.mul(y!, ops.sum(weighted, [intAttribute(node, "axis", -1)])));
    },
  ],
  // g − e^y · Σ g
  LogSoftmax: [
    (ops, { node, outputs: [y] }, g) => {
      return ops.sub(g, ops.mul(ops.exp(y!), ops.sum(g, [intAttribute(node, "axis", -1)])));
    },
  ],
};
