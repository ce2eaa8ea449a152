import type { Dim, Value } from "../graph/graph.ts";
import { multiplyDims } from "../infer/dims.ts";
import type { BiasForm } from "./attention-bias.ts";
import type { Axis } from "./axis-layout.ts";
import { isMiss, type Miss, miss } from "./miss.ts";
import type { NodeEmitter } from "./node-emitter.ts";
import type { UnfusedAttention } from "./unfused-attention.ts";

/** What an operator adds to scores has these four axes, and some operators want all of them in full size. */
export interface SpreadOptions {
  readonly q: Value;
  readonly k: Value;
  /** The axis of positions of K. */
  readonly keyAxis: number;
  /** Whether the axes of batch and heads must not be 1 where scores have more. */
  readonly fullBatch: boolean;
  readonly fullHeads: boolean;
}

const sizeOf = (axis: Axis): Dim => multiplyDims(axis.map(({ dim }) => dim));

/**
 * Makes the biases of attention layers, one node for all layers that have the same. Spread over the heads each layer has its own: one for all would
 * hold their heads together when the fused model is pruned.
 */
export class ScoreBiases {
  readonly #emit: NodeEmitter;
  readonly #known = new Map<string, Value | Miss>();

  constructor(emit: NodeEmitter) {
    this.#emit = emit;
  }

  /** A bias as `[batch or 1, heads or 1, queries, keys]`. */
  spread(stem: string, bias: BiasForm, found: UnfusedAttention, options: SpreadOptions): Value | Miss {
    const { axes, heads } = found;
    const { q, k, keyAxis, fullBatch, fullHeads } = options;
    const sizes = [sizeOf(axes.batch), heads, sizeOf(axes.queries), sizeOf(axes.keys)];
    const key = [
      bias.key,
      fullBatch,
      fullHeads && found.softmax.outputs[0]?.name,
      sizes[0] ?? q.name,
      heads,
      sizes[2] ?? q.name,
      sizes[3] ?? k.name,
    ].join("|");
    const known = this.#known.get(key);
    if (known) return known;
    const made = this.#known.get(bias.key) ?? bias.make(this.#emit, stem);
    if (isMiss(made)) return made;
    this.#known.set(bias.key, made);
    const sources = [
      () => this.#emit.size(stem, q, 0),
      undefined,
      () => this.#emit.size(stem, q, 1),
      () => this.#emit.size(stem, k, keyAxis),
    ] as const;
    const wanted = [fullBatch, fullHeads, true, true];
    const result = this.#expand(stem, made, { sizes, sources, wanted });
    this.#known.set(key, result);
    return result;
  }

  #expand(
    stem: string,
    bias: Value,
    {
      sizes,
      sources,
      wanted,
    }: {
      readonly sizes: readonly Dim[];
      readonly sources: readonly ((() => Value) | undefined)[];
      readonly wanted: readonly boolean[];
    },
  ): Value | Miss {
    const shape = this.#emit.inference.types.get(bias)?.shape;
    if (!shape || shape.length > 4) return miss("the shape of its mask is not known");
    const own: readonly Dim[] = [...[1, 1, 1, 1].slice(shape.length), ...shape];
    const heads = sizes[1];
    if (own[1] !== 1 && own[1] !== heads) return miss("its mask has an axis of heads of another size");
    if (own[0] !== 1 && own[0] !== sizes[0] && [own[0], sizes[0]].every((size) => typeof size === "number"))
      return miss("its mask has another batch than its queries");
    const target = sizes.map((size, axis) => {
      const isThere = size !== undefined && own[axis] === size;
      if (!wanted[axis] || isThere) return 1;
      return typeof size === "number" ? size : sources[axis];
    });
    if (shape.length === 4 && target.every((size) => size === 1)) return bias;
    return this.#emit.value(stem, "Expand", [bias, this.#sizes(stem, target)]);
  }

  #sizes(stem: string, target: readonly (number | (() => Value) | undefined)[]): Value {
    if (target.every((size) => typeof size === "number")) return this.#emit.int64(target);
    const parts = target.map((size) => (typeof size === "function" ? size() : this.#emit.int64([size ?? 1])));
    return this.#emit.value(stem, "Concat", parts, { axis: { kind: "int", value: 0 } });
  }
}
