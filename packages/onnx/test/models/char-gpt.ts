import { float, int, type Value } from "@dgate/onnx";
import { causalWeights } from "./attention-eager.ts";
import { expectation, mergeHeads, splitHeads } from "./attention-parts.ts";
import { Exporter } from "./exporter.ts";
import { activations } from "./feed-forward.ts";
import type { Linear } from "./graph-writer.ts";
import * as content from "./input-content.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Sizes of `charGpt`. */
export interface CharGptOptions {
  readonly layers?: number;
  readonly heads?: number;
  /** Features of the residual stream; a multiple of `heads`. */
  readonly width?: number;
  /** The longest text that it can be given. */
  readonly context?: number;
  readonly vocabulary?: number;
  /** Seed of the weights. */
  readonly seed?: number;
}

/** Standard deviation of GPT-2's initial weights. */
const spread = 0.02;

/**
 * A GPT before training: pre-LN, learnt positions, separate projections of queries, keys and values, GELU, an output layer of its own. Weights
 * are drawn as GPT-2's are (Radford et al. 2019): N(0, 0.02²), those that write into the residual stream divided by √(2·layers), no biases yet.
 * Input `input_ids` `[batch, positions]`, output `logits` `[batch, positions, vocabulary]`.
 */
export function charGpt({
  layers = 4,
  heads = 4,
  width = 128,
  context = 64,
  vocabulary = 65,
  seed = 1,
}: CharGptOptions = {}): TransformerModel {
  const ex = new Exporter({ name: "char_gpt", opset: 17, seed, shapes: "constant" });
  const ids = ex.input("input_ids", ["batch", "positions"], content.tokens(vocabulary));
  const words = table(ex, "wte", ids, [vocabulary, width]);
  const positions = ex.op("Range", [ex.i64(0), ex.scalar(ex.sizeOf(ids, 1)), ex.i64(1)]);
  let x = ex.op("Add", [words, table(ex, "wpe", positions, [context, width])]);
  const residual = spread / Math.sqrt(2 * layers);
  const attention = Array.from({ length: layers }, (_, i) =>
    ex.within(`h.${i}`, () => {
      const attended = attend(ex, norm(ex, "ln_1", x, width), { heads, width, context, residual });
      const middle = ex.op("Add", [x, attended.y]);
      x = ex.op("Add", [middle, mlp(ex, norm(ex, "ln_2", middle, width), width, residual)]);
      return attended.attention;
    }),
  );
  const head = ex.within("lm_head", () => ex.weight("weight", [width, vocabulary], { scale: spread }));
  const logits = ex.op("MatMul", [norm(ex, "ln_f", x, width), head]);
  ex.output("logits", logits, ["batch", "positions", vocabulary]);
  return ex.finish(attention, { batch: 2, positions: Math.min(context, 8) });
}

const table = (ex: Exporter, name: string, index: Value, shape: readonly [number, number]): Value =>
  ex.within(name, () => ex.gather(ex.weight("weight", shape, { scale: spread }), index));

/** `x·W + b` with W as it is stored. */
function dense(
  ex: Exporter,
  name: string,
  x: Value,
  shape: readonly [number, number],
  scale = spread,
): Linear {
  return ex.within(name, () => {
    const w = ex.weight("weight", shape, { scale });
    const b = ex.weight("bias", [shape[1]], { scale: 0 });
    return { y: ex.op("Add", [ex.op("MatMul", [x, w]), b]), weight: w.name, bias: b.name };
  });
}

function norm(ex: Exporter, name: string, x: Value, width: number): Value {
  return ex.within(name, () => {
    const scale = ex.weight("weight", [width], { scale: 0, mean: 1 });
    const bias = ex.weight("bias", [width], { scale: 0 });
    return ex.op("LayerNormalization", [x, scale, bias], { axis: int(-1), epsilon: float(1e-5) });
  });
}

interface AttentionSizes {
  readonly heads: number;
  readonly width: number;
  readonly context: number;
  /** Standard deviation of the weights that write into the residual stream. */
  readonly residual: number;
}

function attend(
  ex: Exporter,
  x: Value,
  { heads, width, context, residual }: AttentionSizes,
): { readonly y: Value; readonly attention: AttentionExpectation } {
  const headDim = width / heads;
  return ex.within("attn", () => {
    const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((name) => dense(ex, name, x, [width, width]));
    const [queries, keys, values] = [q, k, v].map((part) => splitHeads(ex, part!.y, heads, headDim));
    const weights = causalWeights(ex, queries!, keys!, headDim, { maxLength: context });
    const merged = mergeHeads(ex, ex.op("MatMul", [weights, values!]), width);
    const o = dense(ex, "out_proj", merged, [width, width], residual);
    return { y: o.y, attention: expectation(ex, "U4", { heads, width, headDim }, { q: q!, k, v, o }) };
  });
}

function mlp(ex: Exporter, x: Value, width: number, residual: number): Value {
  return ex.within("mlp", () => {
    const inner = activations.gelu(ex, dense(ex, "c_fc", x, [width, 4 * width]).y);
    return dense(ex, "c_proj", inner, [4 * width, width], residual).y;
  });
}
