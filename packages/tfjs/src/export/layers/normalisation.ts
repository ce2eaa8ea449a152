import { float, int } from "@dgate/onnx";
import { lastSize, type LayerContext, type LayerRule } from "../layer-context.ts";
import type { Traced } from "../traced.ts";

/**
 * `y = γ·(x − μ)/√(σ² + ε) + β` per channel, with the moving statistics; γ = 1 and β = 0 where the layer has none.
 * Inner axes are refused: tfjs's cpu backend takes the statistics of the last axis for them too.
 */
function batchNormalization(ctx: LayerContext): Traced {
  const axis = ctx.config.number("axis", -1);
  if (axis !== -1 && axis !== ctx.rank - 1) {
    return ctx.unsupported(
      `it normalises axis ${axis} of ${ctx.rank}; only the last axis, the channels, can be`,
    );
  }
  const size = [lastSize(ctx)];
  const gamma = ctx.optionalWeight("gamma") ?? ctx.emitter.madeWeight(ctx.layer, "gamma", size, 1);
  const beta = ctx.optionalWeight("beta") ?? ctx.emitter.madeWeight(ctx.layer, "beta", size, 0);
  const inputs = [ctx.value("onnx"), gamma, beta, ctx.weight("moving_mean"), ctx.weight("moving_variance")];
  const epsilon = float(ctx.config.number("epsilon"));
  return ctx.result("onnx", ctx.node("BatchNormalization", inputs, { epsilon }));
}

/** `y = γ·(x − mean)/√(variance + ε) + β` over the trailing axes of each sample. */
function layerNormalization(ctx: LayerContext): Traced {
  const axes = ctx.config.numbers("axis").map((axis) => (axis < 0 ? axis + ctx.rank : axis));
  const first = ctx.rank - axes.length;
  if (axes.some((axis, i) => axis !== first + i)) {
    return ctx.unsupported(
      `it normalises axes [${axes.join(", ")}] of ${ctx.rank}; ONNX needs the trailing axes in order`,
    );
  }
  const shape = axes.map(
    (axis) => ctx.input.shape[axis] ?? ctx.unsupported("a normalised axis is of open size"),
  );
  const gamma = ctx.optionalWeight("gamma") ?? ctx.emitter.madeWeight(ctx.layer, "gamma", shape, 1);
  const beta = ctx.optionalWeight("beta");
  const attributes = { axis: int(first), epsilon: float(ctx.config.number("epsilon")) };
  const inputs = beta ? [ctx.value("tfjs"), gamma, beta] : [ctx.value("tfjs"), gamma];
  return ctx.result("tfjs", ctx.node("LayerNormalization", inputs, attributes));
}

export const normalisationLayers: Readonly<Record<string, LayerRule>> = {
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
};
