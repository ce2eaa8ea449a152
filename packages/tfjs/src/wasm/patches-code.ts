import { asm, type Code, forEach, increase, Locals, smaller, type WasmFunction } from "./assembler.ts";

const {
  add,
  constant,
  floatAdd,
  floatLoad,
  floatStore,
  get,
  less,
  lessUnsigned,
  loopWhile,
  mul,
  set,
  sub,
  vectorAdd,
  vectorLoad,
  vectorStore,
  when,
} = asm;

/** Names of the parameters of `gather` and `scatter`, in order; `pixelBytes` is 4 · channels. */
export const patchParameters = [
  "images",
  "inHeight",
  "inWidth",
  "pixelBytes",
  "outHeight",
  "outWidth",
  "filterHeight",
  "filterWidth",
  "strideHeight",
  "strideWidth",
  "top",
  "left",
  "input",
  "patches",
] as const;

type PatchParameter = (typeof patchParameters)[number];

/** `to[…] = from[…]`, or `+=`, over `[at, end)` of `to`; both pointers move. */
function copyRun(to: number, from: number, end: number, accumulate: boolean): Code {
  const vector = vectorLoad(get(from));
  const float = floatLoad(get(from));
  return [
    loopWhile(less(add(get(to), constant(15)), get(end)), [
      vectorStore(get(to), accumulate ? vectorAdd(vectorLoad(get(to)), vector) : vector),
      increase(to, constant(16)),
      increase(from, constant(16)),
    ]),
    loopWhile(less(get(to), get(end)), [
      floatStore(get(to), accumulate ? floatAdd(floatLoad(get(to)), float) : float),
      increase(to, constant(4)),
      increase(from, constant(4)),
    ]),
  ];
}

/**
 * `gather` copies the pixels under every window into its row of `patches`,
 * `[images · outHeight · outWidth, filterHeight, filterWidth, channels]`; what lies outside the image is left as it
 * is. `scatter` is its transpose: it adds every entry of a patch to its pixel.
 */
export function patchFunction(name: "gather" | "scatter"): WasmFunction {
  const p = Object.fromEntries(patchParameters.map((parameter, index) => [parameter, get(index)])) as Record<
    PatchParameter,
    Code
  >;
  const patches = patchParameters.indexOf("patches");
  const locals = new Locals(patchParameters.length);
  const take = (): number => locals.take("i32");
  const [image, y, x, row] = [take(), take(), take(), take()];
  const [firstRow, firstCol, before, count] = [take(), take(), take(), take()];
  const [pixel, entry, end] = [take(), take(), take()];

  const scattering = name === "scatter";
  const [to, from] = scattering ? [pixel, entry] : [entry, pixel];
  const inputRow = add(get(firstRow), get(row));
  const run = [
    set(
      pixel,
      add(
        p.input,
        mul(
          add(mul(add(mul(get(image), p.inHeight), inputRow), p.inWidth), add(get(firstCol), get(before))),
          p.pixelBytes,
        ),
      ),
    ),
    set(entry, add(get(patches), mul(get(before), p.pixelBytes))),
    set(end, add(get(to), mul(get(count), p.pixelBytes))),
    copyRun(to, from, end, scattering),
  ];
  const window = [
    set(firstCol, sub(mul(get(x), p.strideWidth), p.left)),
    set(before, asm.select(less(get(firstCol), constant(0)), sub(constant(0), get(firstCol)), constant(0))),
    set(count, sub(smaller(p.filterWidth, sub(p.inWidth, get(firstCol))), get(before))),
    forEach(row, p.filterHeight, 1, [
      // As unsigned numbers, rows above the image are large.
      when(asm.and(lessUnsigned(inputRow, p.inHeight), less(constant(0), get(count))), run),
      increase(patches, mul(p.filterWidth, p.pixelBytes)),
    ]),
  ];
  const body = forEach(image, p.images, 1, [
    forEach(y, p.outHeight, 1, [
      set(firstRow, sub(mul(get(y), p.strideHeight), p.top)),
      forEach(x, p.outWidth, 1, window),
    ]),
  ]);
  return { name, parameterCount: patchParameters.length, locals: locals.types, body };
}
