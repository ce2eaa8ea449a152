import type { LayerContext, LayerRule } from "../layer-context.ts";
import { lastSize } from "../layer-context.ts";
import type { Traced } from "../traced.ts";
import { int } from "@dgate/onnx";
import { activate } from "../activations.ts";

/** `y = act(x · kernel + bias)` over the last axis; kernel `[inputs, units]`. A matrix takes Gemm, more axes MatMul. */
function dense(ctx: LayerContext): Traced {
  const x = ctx.value("tfjs");
  const kernel = ctx.weight("kernel");
  const bias = ctx.bias(lastSize(ctx, ctx.outputShape));
  const product =
    ctx.rank === 2
      ? ctx.node("Gemm", bias ? [x, kernel, bias] : [x, kernel])
      : ctx.node("MatMul", [x, kernel]);
  const sum = ctx.rank > 2 && bias ? ctx.node("Add", [product, bias]) : product;
  return ctx.result("tfjs", activate(ctx, sum, "tfjs"));
}

/** `y[…, :] = embeddings[x[…], :]`; tfjs cuts indices to integers, so does Cast. */
function embedding(ctx: LayerContext): Traced {
  const x = ctx.value("tfjs");
  const indices =
    ctx.input.dtype === "int32" ? x : ctx.emitter.node(`${x.name}/indices`, "Cast", [x], { to: int(6) });
  return ctx.result("tfjs", ctx.node("Gather", [ctx.weight("embeddings"), indices], { axis: int(0) }));
}

export const denseLayers: Readonly<Record<string, LayerRule>> = { Dense: dense, Embedding: embedding };
