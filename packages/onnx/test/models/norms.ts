import { float, int, type Value } from "@dgate/onnx";
import type { Exporter } from "./exporter.ts";

/** How a normalisation is written: node by node, or as one LayerNormalization (opset 17). */
export type NormStyle = "decomposed" | "op";

/** LayerNorm over the last axis, with random γ around 1 and β around 0. */
export function layerNorm(
  ex: Exporter,
  name: string,
  x: Value,
  width: number,
  { style = "decomposed", epsilon = 1e-5 }: { readonly style?: NormStyle; readonly epsilon?: number } = {},
): Value {
  return ex.within(name, () => {
    const gamma = ex.weight("weight", [width], { scale: 0.2, mean: 1 });
    const beta = ex.weight("bias", [width], { scale: 0.2 });
    if (style === "op")
      return ex.op("LayerNormalization", [x, gamma, beta], { axis: int(-1), epsilon: float(epsilon) });
    const centred = ex.op("Sub", [x, ex.reduceMean(x, [-1])]);
    const variance = ex.reduceMean(ex.op("Pow", [centred, ex.f32(2)]), [-1]);
    const deviation = ex.op("Sqrt", [ex.op("Add", [variance, ex.f32(epsilon)])]);
    return ex.op("Add", [ex.op("Mul", [ex.op("Div", [centred, deviation]), gamma]), beta]);
  });
}

/**
 * RMSNorm over the last axis: `γ·(x·(1/√(mean x² + ε)))`, as T5 and Llama write it. γ has the given shape: `[width]`, or
 * `[headDim]` or `[heads, headDim]` for a norm of queries or keys (QK-norm).
 */
export function rmsNorm(
  ex: Exporter,
  name: string,
  x: Value,
  shape: readonly number[],
  epsilon = 1e-6,
): Value {
  return ex.within(name, () => {
    const gamma = ex.weight("weight", shape, { scale: 0.2, mean: 1 });
    const square = ex.reduceMean(ex.op("Pow", [x, ex.f32(2)]), [-1]);
    const root = ex.op("Sqrt", [ex.op("Add", [square, ex.f32(epsilon)])]);
    const scaled = ex.op("Mul", [x, ex.op("Div", [ex.f32(1), root])]);
    return ex.op("Mul", [gamma, scaled]);
  });
}
