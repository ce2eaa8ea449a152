import { tensorOf, type Value } from "@dgate/onnx";
import { type AttentionMath, type Pattern, pattern } from "./attention-block.ts";
import {
  type Attended,
  type AttentionShape,
  expectation,
  mergeHeads,
  projectInputs,
  splitHeads,
} from "./attention-parts.ts";
import type { Exporter } from "./exporter.ts";

/** For each query and key of a window of `side`² tokens, the row of the bias table: (Δrow + side − 1)·(2·side − 1) + Δcolumn + side − 1. */
export function relativeIndex(side: number): number[] {
  const tokens = Array.from({ length: side * side }, (_, i) => [Math.floor(i / side), i % side] as const);
  return tokens.flatMap(([row, column]) =>
    tokens.map(
      ([otherRow, otherColumn]) =>
        (row - otherRow + side - 1) * (2 * side - 1) + (column - otherColumn + side - 1),
    ),
  );
}

/** Swin's bias `[1, heads, N, N]`: a table `[(2·side − 1)², heads]`, gathered by a constant index, reshaped, transposed, unsqueezed. */
function windowBias(ex: Exporter, side: number, heads: number): Value {
  const rows = (2 * side - 1) ** 2;
  const table = ex.weight("relative_position_bias_table", [rows, heads]);
  const tokens = side * side;
  const index = ex.constant("int64", [tokens * tokens], relativeIndex(side));
  const square = ex.reshape(ex.gather(table, index), [tokens, tokens, -1]);
  return ex.unsqueeze(ex.transpose(square, [2, 0, 1]), [0]);
}

/**
 * Swin's attention over windows (U16).
 *
 * @param x `[windows, side², width]`
 * @param mask `[windows of an image, side², side²]`, added to the scores seen as `[images, windows of an image, heads, N, N]`
 */
export function windowAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  side: number,
  { mask, windows = 1 }: { readonly mask?: Value; readonly windows?: number } = {},
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  const tokens = side * side;
  return ex.within("attention", () => {
    const names = ["self/query", "self/key", "self/value", "output/dense"] as const;
    const { q, k, v } = projectInputs(ex, x, x, shape, names, { bias });
    const merged = ex.within("self", () => {
      const batch = ex.scalar(ex.sizeOf(x, 0));
      const [keys, values, queries] = [k, v, q].map(({ y }) => splitHeads(ex, y, heads, headDim));
      const product = ex.op("MatMul", [queries!, ex.transpose(keys!, [0, 1, 3, 2])]);
      const scaled = ex.op("Div", [product, ex.f32(Math.sqrt(headDim))]);
      const scores = ex.op("Add", [scaled, windowBias(ex, side, heads)]);
      const masked = mask ? addWindowMask(ex, scores, mask, { batch, windows, heads, tokens }) : scores;
      return mergeHeads(ex, ex.op("MatMul", [ex.softmax(masked), values!]), heads * headDim);
    });
    const o = ex.linear("output/dense", merged, [heads * headDim, width], { bias });
    return { y: o.y, attention: expectation(ex, "U16", shape, { q, k, v, o }) };
  });
}

function addWindowMask(
  ex: Exporter,
  scores: Value,
  mask: Value,
  { batch, windows, heads, tokens }: { batch: Value; windows: number; heads: number; tokens: number },
): Value {
  const images = ex.cast(ex.op("Div", [batch, ex.i64(windows)]), "int64");
  const apart = ex.reshape(scores, [images, windows, heads, tokens, tokens]);
  const wide = ex.unsqueeze(ex.unsqueeze(mask, [1]), [0]);
  return ex.reshape(ex.op("Add", [apart, wide]), [-1, heads, tokens, tokens]);
}

/**
 * The mask of shifted windows: −100 between tokens that were not neighbours before the image (of `size`² tokens) was rolled by
 * `shift`; `[(size/side)², side², side²]`.
 */
export function shiftMask(size: number, side: number, shift: number): { shape: number[]; values: number[] } {
  const band = (i: number): number => (i < size - side ? 0 : i < size - shift ? 1 : 2);
  const perRow = size / side;
  const windows = Array.from({ length: perRow * perRow }, (_, w) =>
    Array.from({ length: side * side }, (__, t) => {
      const row = Math.floor(w / perRow) * side + Math.floor(t / side);
      const column = (w % perRow) * side + (t % side);
      return 3 * band(row) + band(column);
    }),
  );
  const values = windows.flatMap((regions) =>
    regions.flatMap((a) => regions.map((b) => (a === b ? 0 : -100))),
  );
  return { shape: [windows.length, side * side, side * side], values };
}

/** `shiftMask` as a constant of the graph, which tracing leaves of the code that fills it. */
export function shiftMaskConstant(ex: Exporter, size: number, side: number, shift: number): Value {
  const { shape, values } = shiftMask(size, side, shift);
  return ex.buffer("attn_mask", () => tensorOf("float32", shape, values));
}

const windowMath =
  (masked: boolean) =>
  ({ heads }: AttentionShape): AttentionMath => ({
    bias: (numbers, tokens) => {
      const side = Math.sqrt(tokens);
      const table = numbers("attention.self.relative_position_bias_table");
      const index = relativeIndex(side);
      const mask = masked ? shiftMask(2 * side, side, 1).values : undefined;
      return (head, query, key, row) =>
        table[index[query * tokens + key]! * heads + head]! +
        (mask?.[((row % 4) * tokens + query) * tokens + key] ?? 0);
    },
  });

/** U16: windows of 2 × 2 tokens, 4 of them in an image. */
export const windowPatterns: readonly Pattern[] = [
  pattern("U16", "Swin window", { opset: 13, length: 4, batch: 4 }, windowMath(false), (ex, x, shape) =>
    windowAttention(ex, x, shape, 2),
  ),
  pattern(
    "U16",
    "Swin shifted window",
    { opset: 13, length: 4, batch: 8 },
    windowMath(true),
    (ex, x, shape) => windowAttention(ex, x, shape, 2, { mask: shiftMaskConstant(ex, 4, 2, 1), windows: 4 }),
  ),
];
