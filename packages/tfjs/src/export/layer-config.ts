import { DgateError } from "@dgate/core";
import type * as tf from "@tensorflow/tfjs";

/** Reads the config of a tfjs layer with checks, so that a surprising value names its layer instead of exporting nonsense. */
export class LayerConfig {
  readonly #values: tf.serialization.ConfigDict;
  readonly #where: string;

  /** @param where the layer for messages, as `describeLayer` gives it */
  constructor(values: tf.serialization.ConfigDict, where: string) {
    this.#values = values;
    this.#where = where;
  }

  has(key: string): boolean {
    const value = this.#values[key];
    return value !== undefined && value !== null;
  }

  number(key: string, fallback?: number): number {
    const value = this.#values[key] ?? fallback;
    return typeof value === "number" ? value : this.#refuse(key, "a number");
  }

  string(key: string, fallback?: string): string {
    const value = this.#values[key] ?? fallback;
    return typeof value === "string" ? value : this.#refuse(key, "a string");
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.#values[key] ?? fallback;
    return typeof value === "boolean" ? value : this.#refuse(key, "true or false");
  }

  /** A list of numbers; a single number counts as a list of `length` equal ones. */
  numbers(key: string, length = 1): readonly number[] {
    const value = this.#values[key];
    if (typeof value === "number") return Array.from({ length }, () => value);
    if (Array.isArray(value) && value.every((item) => typeof item === "number")) return value;
    return this.#refuse(key, "numbers");
  }

  /** Pairs of numbers, as ZeroPadding2D and Cropping2D keep them. */
  pairs(key: string): readonly (readonly [number, number])[] {
    const value = this.#values[key];
    if (!Array.isArray(value)) return this.#refuse(key, "pairs of numbers");
    return value.map((pair) => {
      const [before, after] = Array.isArray(pair) ? pair : [];
      if (typeof before === "number" && typeof after === "number") return [before, after];
      return this.#refuse(key, "pairs of numbers");
    });
  }

  #refuse(key: string, expected: string): never {
    throw new DgateError(
      "UNSUPPORTED",
      `${this.#where}: its config has ${key} = ${JSON.stringify(this.#values[key])}, expected ${expected}; ` +
        `set ${key} on the layer.`,
    );
  }
}

/** `layer "conv_1" (Conv2D)`, for messages. */
export function describeLayer(layer: tf.layers.Layer): string {
  return `layer "${layer.name}" (${layer.getClassName()})`;
}
