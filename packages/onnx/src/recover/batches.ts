import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import type { KeptInput } from "../prune/prune.ts";
import { constantOf, type Feed } from "../runtime/run-tensor.ts";
import { reduce } from "../verify/verify.ts";

/** Inputs of one run, by name. */
export type Batch = Readonly<Record<string, Feed>>;

/**
 * Calibration inputs. They are gone through once per level of layers, so a generator does not do: give an array, another
 * collection that starts again each time, or a function that makes a fresh generator.
 */
export type BatchSource =
  | Iterable<Batch>
  | AsyncIterable<Batch>
  | (() => Iterable<Batch> | AsyncIterable<Batch>);

/** Calibration inputs that can be gone through again and again, checked the first time. */
export class Batches {
  readonly #source: BatchSource;
  readonly #name: string;
  readonly #signal: AbortSignal | undefined;
  #count: number | undefined;
  #empty = 0;

  /**
   * @param name what they are, for messages
   * @throws DgateError `OPTION` for something that is no collection, or one that can be gone through once only
   */
  constructor(source: BatchSource, name: string, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#name = name;
    this.#signal = signal;
    if (typeof source === "function") return;
    const iterator: unknown = iteratorOf(source);
    if (iterator !== undefined && iterator !== source) return;
    throw new DgateError(
      "OPTION",
      `recover: ${name} must be an array, a collection or a function that gives one; ` +
        "a generator can be read once only, and each level of layers reads them again.",
    );
  }

  /** Batches without any row, which are passed over. */
  get empty(): number {
    return this.#empty;
  }

  /**
   * Calls `use` with each batch that has rows.
   *
   * @throws DgateError `DATA` if there is none, if not the same number comes each time, or for NaN or infinite inputs;
   * `ABORTED`
   */
  async each(use: (batch: Batch, index: number) => Promise<void>): Promise<void> {
    const source = typeof this.#source === "function" ? this.#source() : this.#source;
    const first = this.#count === undefined;
    let [count, empty] = [0, 0];
    for await (const batch of source) {
      stopIfAborted(this.#signal);
      if (isEmpty(batch)) empty += 1;
      else {
        if (first) this.#check(batch, count);
        await use(batch, count);
      }
      count += 1;
      await breathe();
    }
    stopIfAborted(this.#signal);
    if (count === empty) throw new DgateError("DATA", `recover: ${this.#name} has no batch with rows.`);
    if (!first && count !== this.#count) {
      throw new DgateError(
        "DATA",
        `recover: ${this.#name} gave ${this.#count} batches at first and ${count} now; they must be the same each time.`,
      );
    }
    [this.#count, this.#empty] = [count, empty];
  }

  #check(batch: Batch, index: number): void {
    for (const [name, feed] of Object.entries(batch)) {
      const numbers = floatsOf(feed);
      const at = numbers?.findIndex((number) => !Number.isFinite(number)) ?? -1;
      if (at < 0) continue;
      throw new DgateError(
        "DATA",
        `recover: element ${at} of "${name}" in batch ${index} of ${this.#name} is ${numbers![at]}; leave this batch out.`,
      );
    }
  }
}

/** Lets timers and signals in between two batches: the WASM runtime never gives way by itself. */
const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** @throws DgateError `ABORTED` */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new DgateError("ABORTED", "recover: cancelled.", { cause: signal.reason });
}

function iteratorOf(source: Iterable<Batch> | AsyncIterable<Batch>): unknown {
  if (typeof source !== "object" || source === null) return undefined;
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  return Symbol.iterator in source ? source[Symbol.iterator]() : undefined;
}

/** One empty input is no empty batch: the cache of a decoder is empty at its first step. */
function isEmpty(batch: Batch): boolean {
  const feeds = Object.values(batch);
  if (feeds.length === 0) return false;
  return feeds.every(
    (feed) => feed.shape?.includes(0) === true || ("data" in feed && feed.data.length === 0),
  );
}

/** The numbers of a feed that may hold NaN; `undefined` for integers and texts. */
function floatsOf(feed: Feed): readonly number[] | Float32Array | Float64Array | undefined {
  if ("bytes" in feed) return isFloat(feed.dtype) ? (readNumbers(feed) as Float32Array) : undefined;
  const { data, dtype } = feed;
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  if (dtype !== undefined && feed.shape && ArrayBuffer.isView(data) && isFloat(dtype)) {
    return floatsOf(constantOf({ dtype, shape: feed.shape, data: data as Uint16Array }));
  }
  if (!Array.isArray(data) || typeof data[0] !== "number") return undefined;
  return data as number[];
}

const isFloat = (dtype: string): boolean => dtype.includes("float");

/**
 * The feeds of the pruned model from those of the dense one: without the features and heads that its inputs no longer have.
 *
 * @param graph the dense model, for the types of plain feeds
 */
export function keptFeatures(batch: Batch, graph: Graph, inputs: readonly KeptInput[]): Batch {
  const cut = new Set(inputs.filter(({ mode }) => mode === "resize").map(({ name }) => name));
  if (cut.size === 0) return batch;
  return Object.fromEntries(
    Object.entries(batch).map(([name, feed]) => {
      if (!cut.has(name)) return [name, feed];
      return [name, reduce(name, asTensor(feed, graph.value(name)?.type?.dtype ?? "float32"), inputs)];
    }),
  );
}

function asTensor(feed: Feed, declared: Tensor["dtype"]): Tensor {
  if ("bytes" in feed) return feed;
  const { data, shape = [data.length], dtype = declared } = feed;
  const encoded = ArrayBuffer.isView(data) && (dtype === "float16" || dtype === "bfloat16");
  if (encoded) return constantOf({ dtype, shape, data });
  return tensorOf(dtype, shape, Array.from<unknown, number>(data as ArrayLike<unknown>, Number));
}
