import { string, tensorOf, type Value } from "@dgate/onnx";
import type { Exporter } from "./exporter.ts";

/** Base of the rotary frequencies in the test models: small, so that short sequences turn visibly. */
export const rotaryBase = 100;

/** Frequencies base^(−2j/d), j below d/2 (Su et al. 2021). */
const frequencies = (headDim: number): number[] =>
  Array.from({ length: headDim / 2 }, (_, j) => rotaryBase ** ((-2 * j) / headDim));

/** Cosines and sines, each `[batch, 1, length, headDim]`. */
export interface RotaryTables {
  readonly cos: Value;
  readonly sin: Value;
}

/** Llama's rotary_emb: inv_freq (expanded over the batch) times positions by MatMul, transposed, doubled, Cos and Sin. */
export function rotaryTables(ex: Exporter, positionIds: Value, headDim: number): RotaryTables {
  return ex.within("rotary_emb", () => {
    const half = headDim / 2;
    const inverse = ex.constant("float32", [1, half, 1], frequencies(headDim));
    const spread = ex.expand(inverse, [ex.sizeOf(positionIds, 0), -1, 1]);
    const places = ex.cast(ex.unsqueeze(positionIds, [1]), "float32");
    const angles = ex.transpose(ex.op("MatMul", [ex.cast(spread, "float32"), places]), [0, 2, 1]);
    const both = ex.concat([angles, angles], -1);
    const [cos, sin] = [ex.op("Cos", [both]), ex.op("Sin", [both])];
    return { cos: ex.unsqueeze(cos, [1]), sin: ex.unsqueeze(sin, [1]) };
  });
}

/**
 * The older form: tables for all positions from `einsum("i,j->ij")`, cut to the length of the keys (read from a shape), then looked
 * up by position.
 */
export function rotaryTablesByEinsum(
  ex: Exporter,
  positionIds: Value,
  headDim: number,
  size = 16,
): RotaryTables {
  return ex.within("rotary_emb", () => {
    const range = ex.constant(
      "float32",
      [size],
      Array.from({ length: size }, (_, i) => i),
    );
    const inverse = ex.constant("float32", [headDim / 2], frequencies(headDim));
    const angles = ex.op("Einsum", [range, inverse], { equation: string("i,j->ij") });
    const both = ex.concat([angles, angles], -1);
    const length = ex.scalar(ex.sizeOf(positionIds, 1));
    const cut = (table: Value): Value =>
      ex.unsqueeze(ex.gather(ex.slice(table, 0, length, 0), positionIds), [1]);
    return { cos: cut(ex.op("Cos", [both])), sin: cut(ex.op("Sin", [both])) };
  });
}

/** `x·cos + rotate_half(x)·sin`; the halves are Slices at half of the last size, which comes from the shape. */
export function rotate(ex: Exporter, x: Value, { cos, sin }: RotaryTables): Value {
  const half = (): Value => {
    const middle = ex.op("Div", [ex.scalar(ex.sizeOf(x, 3)), ex.i64(2)]);
    return ex.cast(ex.cast(middle, "int64"), "int64");
  };
  const first = ex.slice(x, 0, half(), 3);
  const second = ex.slice(x, half(), undefined, 3);
  const turned = ex.concat([ex.op("Neg", [second]), first], -1);
  return ex.op("Add", [ex.op("Mul", [x, cos]), ex.op("Mul", [turned, sin])]);
}

/**
 * GPT-J's rotary embedding on `[batch, length, heads, headDim]`: sines and cosines side by side in one table, each repeated for
 * the two neighbours of a pair; the pairs are Slices with step 2, stacked and flattened.
 */
export function rotateInterleaved(
  ex: Exporter,
  x: Value,
  positionIds: Value,
  headDim: number,
  size = 16,
): Value {
  const table = ex.buffer("embed_positions", () => {
    const angles = Array.from({ length: size }, (_, p) => frequencies(headDim).map((f) => p * f));
    const rows = angles.flatMap((row) => [...row.map(Math.sin), ...row.map(Math.cos)]);
    return tensorOf("float32", [size, headDim], rows);
  });
  const half = headDim / 2;
  const [sin, cos] = ex.split(ex.gather(table, positionIds), [half, half], 2).map((part) => {
    const wide = ex.unsqueeze(ex.unsqueeze(part, [2]), [4]);
    const twice = ex.expand(wide, [-1, -1, -1, -1, 2]);
    return ex.reshape(twice, [ex.sizeOf(part, 0), ex.sizeOf(part, 1), 1, headDim]);
  });
  const even = ex.slice(x, 0, undefined, 3, 2);
  const odd = ex.slice(x, 1, undefined, 3, 2);
  const pairs = ex.concat([ex.unsqueeze(ex.op("Neg", [odd]), [-1]), ex.unsqueeze(even, [-1])], -1);
  const front = ex.op("Slice", [ex.op("Shape", [pairs]), ex.i64s([0]), ex.i64s([3]), ex.i64s([0])]);
  const turned = ex.op("Reshape", [pairs, ex.concat([front, ex.i64s([-1])], 0)]);
  return ex.op("Add", [ex.op("Mul", [x, cos!]), ex.op("Mul", [turned, sin!])]);
}
