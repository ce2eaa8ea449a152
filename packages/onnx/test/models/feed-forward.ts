import { string, type Value } from "@dgate/onnx";
import type { Exporter } from "./exporter.ts";

/** Activations as exporters write them. */
export type Activation = "relu" | "gelu" | "gelu-op" | "gelu-tanh" | "quick-gelu" | "silu";

/** Feed-forward layers with one hidden branch, or two of which one gates the other. */
export type FeedForwardStyle = Activation | "swiglu" | "geglu";

/** Writes an activation node by node (`gelu-op` needs opset 20). */
export const activations: { readonly [A in Activation]: (ex: Exporter, x: Value) => Value } = {
  relu: (ex, x) => ex.op("Relu", [x]),
  // x·(1 + erf(x/√2))·½
  gelu: (ex, x) => {
    const erf = ex.op("Erf", [ex.op("Div", [x, ex.f32(Math.SQRT2)])]);
    return ex.op("Mul", [ex.op("Mul", [x, ex.op("Add", [erf, ex.f32(1)])]), ex.f32(0.5)]);
  },
  "gelu-op": (ex, x) => ex.op("Gelu", [x], { approximate: string("none") }),
  // ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  "gelu-tanh": (ex, x) => {
    const half = ex.op("Mul", [ex.f32(0.5), x]);
    const cube = ex.op("Mul", [ex.f32(0.044715), ex.op("Pow", [x, ex.f32(3)])]);
    const inner = ex.op("Mul", [ex.f32(Math.sqrt(2 / Math.PI)), ex.op("Add", [x, cube])]);
    return ex.op("Mul", [half, ex.op("Add", [ex.f32(1), ex.op("Tanh", [inner])])]);
  },
  "quick-gelu": (ex, x) => ex.op("Mul", [x, ex.op("Sigmoid", [ex.op("Mul", [ex.f32(1.702), x])])]),
  silu: (ex, x) => ex.op("Mul", [x, ex.op("Sigmoid", [x])]),
};

/** Names of the layers of a feed-forward block. */
export interface FeedForwardNames {
  readonly up: string;
  readonly down: string;
  readonly gate?: string;
}

/** `down(act(up(x)))`, or `down(act(gate(x))·up(x))` for SwiGLU and GeGLU. */
export function feedForward(
  ex: Exporter,
  x: Value,
  [width, hidden]: readonly [number, number],
  style: FeedForwardStyle,
  { up, down, gate = "gate_proj" }: FeedForwardNames,
  bias = true,
): Value {
  const gated = style === "swiglu" || style === "geglu";
  const activate = activations[style === "swiglu" ? "silu" : style === "geglu" ? "gelu-tanh" : style];
  if (!gated) {
    const inner = activate(ex, ex.linear(up, x, [width, hidden], { bias }).y);
    return ex.linear(down, inner, [hidden, width], { bias }).y;
  }
  const gates = ex.linear(gate, x, [width, hidden], { bias }).y;
  const values = ex.linear(up, x, [width, hidden], { bias }).y;
  return ex.linear(down, ex.op("Mul", [activate(ex, gates), values]), [hidden, width], { bias }).y;
}
