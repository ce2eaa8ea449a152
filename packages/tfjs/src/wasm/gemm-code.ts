import { asm, type Code, forEach, increase, Locals, smaller, type WasmFunction } from "./assembler.ts";

/** Rows and columns of the block of C that lives in registers. */
export const tileRows = 4;
export const tileCols = 8;

const {
  add,
  and,
  atMost,
  constant,
  equal,
  floatAdd,
  floatLoad,
  floatStore,
  floatZero,
  get,
  less,
  lessUnsigned,
  loopWhile,
  mul,
  select,
  set,
  sub,
  vectorAdd,
  vectorLoad,
  vectorLoadSplat,
  vectorMul,
  vectorMulAdd,
  vectorStore,
  vectorZero,
  when,
} = asm;

/**
 * `pack(n, k, b, kStride, nStride, out)`: lays op(B), `[k, n]`, out as panels of 8 columns, `[⌈n/8⌉, k, 8]`, zeros
 * beyond the last column. Strides are in bytes.
 */
function packFunction(): WasmFunction {
  const [n, k, b, kStride, nStride, out] = [0, 1, 2, 3, 4, 5] as const;
  const locals = new Locals(6);
  const [j, i, w, source, column] = Array.from({ length: 5 }, () => locals.take("i32")) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const step = [increase(source, get(kStride)), increase(out, constant(4 * tileCols))];
  const copyRow = [
    vectorStore(get(out), vectorLoad(get(source))),
    vectorStore(get(out), vectorLoad(get(source), 16), 16),
    step,
  ];
  const gatherRow = [
    set(column, get(source)),
    forEach(w, constant(tileCols), 1, [
      when(
        less(add(get(j), get(w)), get(n)),
        floatStore(add(get(out), mul(get(w), constant(4))), floatLoad(get(column))),
        floatStore(add(get(out), mul(get(w), constant(4))), floatZero()),
      ),
      increase(column, get(nStride)),
    ]),
    step,
  ];
  const whole = and(equal(get(nStride), constant(4)), atMost(add(get(j), constant(tileCols)), get(n)));
  const body = forEach(j, get(n), tileCols, [
    set(source, add(get(b), mul(get(j), get(nStride)))),
    when(whole, forEach(i, get(k), 1, copyRow), forEach(i, get(k), 1, gatherRow)),
  ]);
  return { name: "pack", parameterCount: 6, locals: locals.types, body };
}

/** Byte offset of a block's left or right half row. */
const half = (index: number): number => 16 * (index % 2);

/**
 * `multiply(m, n, k, a, rowStride, kStride, panels, c, cStride, accumulate, tile)`: `C (+)= op(A)·B` for B in the
 * panels of `pack`. Every block of 4×8 elements of C is summed in eight vector registers; blocks that stick out of C
 * go through `tile` (32 floats). Strides are in bytes; k ≥ 1.
 */
function multiplyFunction(fused: boolean): WasmFunction {
  const [m, n, k, a, rowStride, kStride, panels, c, cStride, accumulate, tile] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
  ] as const;
  const locals = new Locals(11);
  const take = (count: number, type: "i32" | "v128"): number[] =>
    Array.from({ length: count }, () => locals.take(type));
  const [i, j, r, w, q, unrolledEnd, end, panel, target, from] = take(10, "i32") as [
    ...[number, number, number, number, number],
    ...[number, number, number, number, number],
  ];
  const rows = take(tileRows, "i32");
  const sums = take(2 * tileRows, "v128");
  const [left, right, scalar] = take(3, "v128") as [number, number, number];

  const mulAdd = (sum: number, vector: number): Code =>
    set(
      sum,
      fused
        ? vectorMulAdd(get(scalar), get(vector), get(sum))
        : vectorAdd(vectorMul(get(scalar), get(vector)), get(sum)),
    );
  const round = (offset: number): Code => [
    set(left, vectorLoad(get(q), offset)),
    set(right, vectorLoad(get(q), offset + 16)),
    rows.map((row, index) => [
      set(scalar, vectorLoadSplat(get(row))),
      mulAdd(sums[2 * index]!, left),
      mulAdd(sums[2 * index + 1]!, right),
      increase(row, get(kStride)),
    ]),
  ];
  const rounds = (count: number): Code => [
    Array.from({ length: count }, (_, index) => round(32 * index)),
    increase(q, constant(32 * count)),
  ];
  const product = [
    sums.map((sum) => set(sum, vectorZero())),
    // Rows beyond the last one repeat it; what they give is not stored.
    set(rows[0]!, add(get(a), mul(get(i), get(rowStride)))),
    rows
      .slice(1)
      .map((row, index) =>
        set(
          row,
          add(
            get(rows[index]!),
            select(less(add(get(i), constant(index + 1)), get(m)), get(rowStride), constant(0)),
          ),
        ),
      ),
    set(q, get(panel)),
    loopWhile(lessUnsigned(get(q), get(unrolledEnd)), rounds(4)),
    loopWhile(lessUnsigned(get(q), get(end)), rounds(1)),
  ];

  const storeWhole = [
    set(target, add(get(c), add(mul(get(i), get(cStride)), mul(get(j), constant(4))))),
    sums.map((sum, index) => [
      when(get(accumulate), set(sum, vectorAdd(get(sum), vectorLoad(get(target), half(index))))),
      vectorStore(get(target), get(sum), half(index)),
      index % 2 === 1 ? increase(target, get(cStride)) : [],
    ]),
  ];
  const cell = add(get(target), mul(get(w), constant(4)));
  const storePart = [
    sums.map((sum, index) => vectorStore(get(tile), get(sum), 16 * index)),
    set(target, add(get(c), add(mul(get(i), get(cStride)), mul(get(j), constant(4))))),
    set(from, get(tile)),
    forEach(r, smaller(sub(get(m), get(i)), constant(tileRows)), 1, [
      forEach(w, smaller(sub(get(n), get(j)), constant(tileCols)), 1, [
        when(
          get(accumulate),
          floatStore(cell, floatAdd(floatLoad(cell), floatLoad(add(get(from), mul(get(w), constant(4)))))),
          floatStore(cell, floatLoad(add(get(from), mul(get(w), constant(4))))),
        ),
      ]),
      increase(target, get(cStride)),
      increase(from, constant(4 * tileCols)),
    ]),
  ];

  const fits = and(
    atMost(add(get(i), constant(tileRows)), get(m)),
    atMost(add(get(j), constant(tileCols)), get(n)),
  );
  const body = [
    set(panel, get(panels)),
    forEach(j, get(n), tileCols, [
      set(end, add(get(panel), mul(get(k), constant(4 * tileCols)))),
      set(unrolledEnd, add(get(panel), mul(and(get(k), constant(-4)), constant(4 * tileCols)))),
      forEach(i, get(m), tileRows, [product, when(fits, storeWhole, storePart)]),
      set(panel, get(end)),
    ]),
  ];
  return { name: "multiply", parameterCount: 11, locals: locals.types, body };
}

/**
 * `pack` and `multiply`.
 *
 * @param fused use relaxed SIMD's multiply–add: a little faster, but Node 20 and older browsers lack it
 */
export function gemmFunctions({ fused }: { readonly fused: boolean }): WasmFunction[] {
  return [packFunction(), multiplyFunction(fused)];
}
