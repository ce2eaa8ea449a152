import type { Graph } from "@dgate/onnx";

/** How many key–value heads a decoder's caches have, layer by layer. */
export interface CacheHeads {
  /** Of the cache of the decoder's own tokens. */
  readonly decoder: readonly number[];
  /** Of the cache of the encoder's states; empty in a decoder without an encoder. */
  readonly encoder: readonly number[];
  /** Length of a key and a value; `undefined` where layers differ in it, or keys from values. */
  readonly headDim: number | undefined;
}

/** As optimum calls them: `past_key_values.0.key`, or `past_key_values.0.decoder.key` in decoders with an encoder. */
const pastName = /^past_key_values\.(\d+)\.(?:(encoder|decoder)\.)?(?:key|value)$/;

/**
 * The heads of a decoder's caches, as its inputs declare them: `[batch, heads, past, headDim]`.
 *
 * @returns `undefined` for a graph without such caches, or where a head count is no number
 */
export function cacheHeads(graph: Graph): CacheHeads | undefined {
  const sides = { decoder: new Map<number, Set<number>>(), encoder: new Map<number, Set<number>>() };
  const dims = new Set<number>();
  for (const { name, type } of graph.requiredInputs) {
    const [, layer, side = "decoder"] = pastName.exec(name) ?? [];
    if (layer === undefined) continue;
    const [, heads, , dim] = type?.shape ?? [];
    if (type?.shape?.length !== 4 || typeof heads !== "number" || typeof dim !== "number") return undefined;
    const counts = sides[side as keyof typeof sides]; // what the pattern matches
    counts.set(Number(layer), (counts.get(Number(layer)) ?? new Set()).add(heads));
    dims.add(dim);
  }
  const all = [...sides.decoder.values(), ...sides.encoder.values()];
  if (all.length === 0 || all.some(({ size }) => size !== 1)) return undefined;
  return {
    decoder: inOrder(sides.decoder),
    encoder: inOrder(sides.encoder),
    headDim: dims.size === 1 ? [...dims][0] : undefined,
  };
}

const inOrder = (counts: ReadonlyMap<number, ReadonlySet<number>>): number[] =>
  [...counts].sort(([a], [b]) => a - b).flatMap(([, heads]) => [...heads]);

/** Whether two decoders have caches of the same sizes. */
export const sameHeads = (a: CacheHeads | undefined, b: CacheHeads | undefined): boolean =>
  a?.headDim === b?.headDim &&
  a?.decoder.join() === b?.decoder.join() &&
  a?.encoder.join() === b?.encoder.join();

/** The number of heads that all caches of a decoder have, or `undefined` if they differ. */
export function evenHeads({ decoder, encoder }: CacheHeads): number | undefined {
  const counts = new Set([...decoder, ...encoder]);
  return counts.size === 1 ? [...counts][0] : undefined;
}
