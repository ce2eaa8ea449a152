import { addProducts, type Rows } from "./products.ts";

/** Samples that are multiplied at once. */
const tileRows = 128;

/**
 * Sums over samples that decide a linear least-squares problem Σ‖w·x − y‖² for any weights: the Gram matrix Σ x·xᵀ, the
 * products Σ y·xᵀ and the squares Σ y², in float64. Its size does not depend on the number of samples.
 *
 * A bias is an input that is 1 in every sample.
 */
export class NormalEquations {
  /** k, the bias included, and m. */
  readonly inputs: number;
  readonly outputs: number;
  /** Σ x·xᵀ, `[k, k]`, symmetric. */
  readonly gram: Float64Array;
  /** Σ y·xᵀ, `[m, k]`. */
  readonly cross: Float64Array;
  /** Σ y², `[m]`. */
  readonly squares: Float64Array;
  readonly #x: Rows;
  readonly #y: Rows;
  #samples = 0;
  #inTile = 0;

  constructor(inputs: number, outputs: number) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.gram = new Float64Array(inputs * inputs);
    this.cross = new Float64Array(outputs * inputs);
    this.squares = new Float64Array(outputs);
    this.#x = tile(inputs);
    this.#y = tile(outputs);
  }

  /** Bytes that equations of this size take. */
  static bytes(inputs: number, outputs: number): number {
    return 8 * (inputs * inputs + outputs * inputs + outputs + (inputs + outputs) * tileRows);
  }

  /** Samples taken in so far. */
  get samples(): number {
    return this.#samples;
  }

  /**
   * Takes in one sample; `x` and `y` are copied.
   *
   * @returns false if a number is NaN or infinite: the sample is then left out
   */
  add(x: Float64Array, y: Float64Array): boolean {
    if (!x.every(Number.isFinite) || !y.every(Number.isFinite)) return false;
    for (let i = 0; i < x.length; i++) this.#x.data[i * tileRows + this.#inTile] = x[i]!;
    for (let j = 0; j < y.length; j++) {
      this.#y.data[j * tileRows + this.#inTile] = y[j]!;
      this.squares[j]! += y[j]! ** 2;
    }
    this.#samples += 1;
    this.#inTile += 1;
    if (this.#inTile === tileRows) this.#flush();
    return true;
  }

  /** Takes in what is left and fills the upper triangle; to be called before the sums are read. */
  finish(): void {
    this.#flush();
    const { gram, inputs: k } = this;
    for (let i = 0; i < k; i++) for (let j = i + 1; j < k; j++) gram[i * k + j] = gram[j * k + i]!;
  }

  /** gram·w − cross for weights `[m, k]`, `[m, k]`: half the gradient of the error. */
  gradient(weights: Float64Array): Float64Array {
    const { gram, cross, inputs: k, outputs: m } = this;
    const out = cross.map((value) => -value);
    addProducts(whole(out, m, k), whole(weights, m, k), whole(gram, k, k), k);
    return out;
  }

  /** Σ‖w·x − y‖² over samples and outputs, for weights `[m, k]`. */
  errorOf(weights: Float64Array): number {
    // w·G·wᵀ − 2·w·c + y² = w·(G·wᵀ − c) − w·c + y²
    const gradient = this.gradient(weights);
    let error = 0;
    for (let i = 0; i < weights.length; i++) error += weights[i]! * (gradient[i]! - this.cross[i]!);
    // Rounding may leave a fit that is exact slightly below zero.
    return Math.max(0, error + this.energy);
  }

  /** Σ y², over samples and outputs. */
  get energy(): number {
    return this.squares.reduce((a, b) => a + b, 0);
  }

  #flush(): void {
    if (this.#inTile === 0) return;
    const { inputs: k, outputs: m } = this;
    addProducts(whole(this.gram, k, k), this.#x, this.#x, this.#inTile, { lower: true });
    addProducts(whole(this.cross, m, k), this.#y, this.#x, this.#inTile);
    this.#inTile = 0;
  }
}

const tile = (rows: number): Rows => ({
  data: new Float64Array(rows * tileRows),
  offset: 0,
  stride: tileRows,
  rows,
});

const whole = (data: Float64Array, rows: number, stride: number): Rows => ({ data, offset: 0, stride, rows });
