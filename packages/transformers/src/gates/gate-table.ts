import { DgateError, formatTable } from "@dgate/core";
import type { GatedBlock } from "../blocks/block.ts";

/**
 * The gates of one kind of groups, layer by layer. Prints as a table of layers × groups: `1` for a gate that is open, `·` for one that is
 * closed.
 */
export class GateTable {
  readonly #blocks: readonly GatedBlock[];
  readonly #values: readonly Float64Array[];
  readonly #what: string;

  constructor(blocks: readonly GatedBlock[], what: string) {
    this.#blocks = blocks;
    this.#what = what;
    this.#values = blocks.map(({ groups }) => new Float64Array(groups).fill(1));
    // For console.log in Node.
    Object.defineProperty(this, Symbol.for("nodejs.util.inspect.custom"), { value: () => this.toString() });
  }

  /** Number of layers. */
  get layers(): number {
    return this.#blocks.length;
  }

  /** Number of groups of all layers. */
  get count(): number {
    return this.#values.reduce((sum, { length }) => sum + length, 0);
  }

  get blocks(): readonly GatedBlock[] {
    return this.#blocks;
  }

  /** Gates by layer: a copy. */
  get values(): Float64Array[] {
    return this.#values.map((layer) => layer.slice());
  }

  /** @throws DgateError `GROUP` for a layer or group that is not there */
  get(layer: number, group: number): number {
    return this.#layer(layer, group)[group]!;
  }

  /** @throws DgateError `GROUP` for a layer or group that is not there, `DATA` for a value that is not finite */
  set(layer: number, group: number, value: number): void {
    if (!Number.isFinite(value)) {
      throw new DgateError("DATA", `gates: ${this.#what} ${layer}.${group}: ${value} is no finite number.`);
    }
    this.#layer(layer, group)[group] = value;
  }

  /** Gates of a block by its name, which may be changed. */
  of(name: string): Float64Array | undefined {
    const at = this.#blocks.findIndex((block) => block.name === name);
    return this.#values[at];
  }

  #layer(layer: number, group: number): Float64Array {
    const values = this.#values[layer];
    const noun = this.#what;
    if (!values) {
      const there =
        this.layers === 0
          ? "none is gated; name them in the sites of openHeadGates"
          : `there are ${this.layers} (0 to ${this.layers - 1})`;
      throw new DgateError("GROUP", `gates: no layer ${layer} with a ${noun} to gate: ${there}.`);
    }
    if (!Number.isInteger(group) || group < 0 || group >= values.length) {
      throw new DgateError(
        "GROUP",
        `gates: layer ${layer} has no ${noun} ${group}; it has ${values.length} (0 to ${values.length - 1}).`,
      );
    }
    return values;
  }

  toString(): string {
    const width = Math.max(0, ...this.#values.map(({ length }) => length));
    if (width > widest) return this.#summary();
    const header = [this.#what, ...Array.from({ length: width }, (_, i) => String(i))];
    const rows = this.#blocks.map((_, at) => [this.#label(at), ...Array.from(this.#values[at]!, printGate)]);
    return formatTable(header, rows);
  }

  /** The number that `get` and `set` take; of a model of several files with the file. */
  #label(at: number): string {
    const { file } = this.#blocks[at]!;
    return this.#blocks.some((block) => block.file !== file) ? `layer ${at} (${file})` : `layer ${at}`;
  }

  #summary(): string {
    const rows = this.#blocks.map((_, at) => {
      const values = this.#values[at]!;
      return [this.#label(at), values.length, values.filter((value) => value !== 0).length];
    });
    return formatTable([this.#what, "groups", "open"], rows);
  }
}

/** Layers with more groups than this are told by their number of open gates. */
const widest = 32;

function printGate(value: number): string {
  if (value === 0) return "·";
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
