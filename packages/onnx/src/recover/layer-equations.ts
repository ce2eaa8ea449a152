import type { RandomGenerator } from "@dgate/core";
import type { Layer } from "./find-layers.ts";
import { sizesOf } from "./layer-weights.ts";
import { NormalEquations } from "./normal-equations.ts";
import { type RidgeFit, fitRidge } from "./ridge.ts";
import { type Activation, checkChannels, chooseRows, samplesOf } from "./samples.ts";

/** The least-squares problem of one group of a layer's channels. */
interface GroupEquations {
  readonly equations: NormalEquations;
  /** Outputs of the layer that are fitted. */
  readonly outputs: readonly number[];
}

/** The least-squares problem of a layer: one for the inputs and outputs of each group of a Conv, one for any other layer. */
export class LayerEquations {
  readonly #layer: Layer;
  /** Inputs of an output, the bias included. */
  readonly #width: number;
  readonly #groups: readonly GroupEquations[];
  #dropped = 0;
  #mismatched = false;

  /**
   * @param weights what `readWeights` gives. An output whose weights are all zero is dead by plan and stays so: it is not fitted.
   */
  constructor(layer: Layer, weights: Float64Array) {
    const { groups, depth, outputs } = sizesOf(layer);
    this.#layer = layer;
    this.#width = layer.bias.kind === "none" ? depth : depth + 1;
    const alive = (j: number): boolean =>
      weights.subarray(j * this.#width, j * this.#width + depth).some((weight) => weight !== 0);
    this.#groups = Array.from({ length: groups }, (_, g) => {
      const own = Array.from({ length: outputs }, (_unused, j) => g * outputs + j).filter(alive);
      return { equations: new NormalEquations(this.#width, own.length), outputs: own };
    }).filter((group) => group.outputs.length > 0);
  }

  /** Samples taken in. */
  get samples(): number {
    return this.#groups[0]?.equations.samples ?? 0;
  }

  /** Samples with numbers that are NaN or infinite, which were left out. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Whether the layer's input and the dense output turned out not to have the same samples. */
  get mismatched(): boolean {
    return this.#mismatched;
  }

  /** Unknowns of an output. */
  get width(): number {
    return this.#width;
  }

  /** Σ y² over samples and fitted outputs. */
  get energy(): number {
    return sum(this.#groups, ({ equations }) => equations.energy);
  }

  /** Takes in at most `limit` samples of a run. */
  add(x: Activation, y: Activation, limit: number, random: RandomGenerator): void {
    const { node, channels, kept, weight, bias } = this.#layer;
    checkChannels(node, y, channels);
    const samples = samplesOf(node, x, y, weight.data!.shape);
    if (!samples) {
      this.#mismatched = true;
      return;
    }
    const rows = chooseRows(samples.count, limit, random);
    for (const [g, { equations, outputs }] of this.#groups.entries()) {
      const inputs = new Float64Array(this.#width);
      if (bias.kind !== "none") inputs[this.#width - 1] = 1;
      const targets = new Float64Array(outputs.length);
      const group = this.#groupOf(outputs[0]!);
      for (const row of rows) {
        samples.inputs(row, group, inputs);
        outputs.forEach((j, i) => {
          targets[i] = samples.output(row, kept?.[j] ?? j);
        });
        if (!equations.add(inputs, targets) && g === 0) this.#dropped += 1;
      }
    }
  }

  /** To be called after the last `add`. */
  finish(): void {
    for (const { equations } of this.#groups) equations.finish();
  }

  /** Σ‖w·x − y‖² over samples and fitted outputs. */
  errorOf(weights: Float64Array): number {
    return sum(this.#groups, ({ equations, outputs }) => equations.errorOf(this.#gather(weights, outputs)));
  }

  /** All weights with those of the fitted outputs anew, and the largest ridge that it took; `undefined` if that fails. */
  fit(weights: Float64Array, ridge: number): RidgeFit | undefined {
    const fitted = weights.slice();
    let used = ridge;
    for (const { equations, outputs } of this.#groups) {
      const found = fitRidge(
        equations,
        this.#gather(weights, outputs),
        ridge,
        this.#layer.bias.kind !== "none",
      );
      if (!found) return undefined;
      outputs.forEach((j, i) => {
        fitted.set(found.weights.subarray(i * this.#width, (i + 1) * this.#width), j * this.#width);
      });
      used = Math.max(used, found.ridge);
    }
    return { weights: fitted, ridge: used };
  }

  #groupOf(output: number): number {
    return Math.floor(output / sizesOf(this.#layer).outputs);
  }

  #gather(weights: Float64Array, outputs: readonly number[]): Float64Array {
    const own = new Float64Array(outputs.length * this.#width);
    outputs.forEach((j, i) =>
      own.set(weights.subarray(j * this.#width, (j + 1) * this.#width), i * this.#width),
    );
    return own;
  }
}

const sum = <T>(list: readonly T[], of: (item: T) => number): number =>
  list.reduce((total, item) => total + of(item), 0);
