import { float, int, type Value } from "@dgate/onnx";
import type { LayerContext } from "./layer-context.ts";
import { axisIn, type Layout } from "./traced.ts";

/** Emits an activation of `x`. `axis` is where tfjs's last axis lies in `x`; only softmax cares. */
type ActivationRule = (ctx: LayerContext, x: Value, axis: number) => Value;

const unary =
  (op: string): ActivationRule =>
  (ctx, x) =>
    ctx.node(op, [x]);

/** The activation functions of tfjs by their names, with the formulas that tfjs computes. */
const activations: Readonly<Record<string, ActivationRule>> = {
  linear: (_, x) => x,
  relu: unary("Relu"),
  // min(6, max(0, x))
  relu6: (ctx, x) => ctx.node("Clip", [x, ctx.scalar(0), ctx.scalar(6)]),
  elu: unary("Elu"),
  selu: unary("Selu"),
  sigmoid: unary("Sigmoid"),
  // clip(0.2·x + 0.5, 0, 1)
  hardSigmoid: (ctx, x) => ctx.node("HardSigmoid", [x], { alpha: float(0.2), beta: float(0.5) }),
  softplus: unary("Softplus"),
  softsign: unary("Softsign"),
  tanh: unary("Tanh"),
  softmax: (ctx, x, axis) => ctx.node("Softmax", [x], { axis: int(axis) }),
  logSoftmax: (ctx, x, axis) => ctx.node("LogSoftmax", [x], { axis: int(axis) }),
  // x · σ(x)
  swish: (ctx, x) => ctx.node("Mul", [x, ctx.node("Sigmoid", [x])]),
  // x · tanh(ln(1 + eˣ))
  mish: (ctx, x) => ctx.node("Mul", [x, ctx.node("Tanh", [ctx.node("Softplus", [x])])]),
  // x · ½ (1 + erf(x / √2))
  gelu: (ctx, x) => {
    const erf = ctx.node("Erf", [ctx.node("Mul", [x, ctx.scalar(Math.SQRT1_2)])]);
    return ctx.node("Mul", [x, ctx.node("Mul", [ctx.node("Add", [erf, ctx.scalar(1)]), ctx.scalar(0.5)])]);
  },
  // ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))
  gelu_new: (ctx, x) => {
    const cube = ctx.node("Mul", [ctx.node("Pow", [x, ctx.scalar(3)]), ctx.scalar(0.044715)]);
    const inner = ctx.node("Mul", [ctx.node("Add", [x, cube]), ctx.scalar(Math.sqrt(2 / Math.PI))]);
    const gate = ctx.node("Add", [ctx.node("Tanh", [inner]), ctx.scalar(1)]);
    return ctx.node("Mul", [ctx.node("Mul", [x, ctx.scalar(0.5)]), gate]);
  },
};

/** Names of the activations that can be exported. */
export const activationNames: readonly string[] = Object.keys(activations);

/** Applies the activation that the layer's config names; none is the identity. */
export function activate(ctx: LayerContext, x: Value, layout: Layout): Value {
  const name = ctx.config.string("activation", "linear");
  const rule = activations[name] ?? ctx.unsupported(`activation "${name}" is not one of tfjs's own`);
  const rank = ctx.outputShape.length;
  return rule(ctx, x, axisIn(layout, rank - 1, rank));
}
