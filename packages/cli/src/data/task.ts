/** What a network is trained on: rows of numbers, row-major, and what to predict from them. */
export interface Task {
  /** For people: `digits`, a file name. */
  readonly name: string;
  readonly kind: "classification" | "regression";
  /** Shape of one input: `[28, 28, 1]`, `[13]`. */
  readonly inputShape: readonly number[];
  /** Outputs of the network: classes, or 1 for a regression. */
  readonly outputs: number;
  readonly train: Examples;
  readonly test: Examples;
  /** Names of the columns of a table. */
  readonly columns?: readonly string[];
  /** Names of the classes of a table. */
  readonly classNames?: readonly string[];
  /** How raw rows became `x` and targets became `y`, where they were standardised: value = raw·scale + shift undone. */
  readonly scaling?: Scaling;
}

export interface Examples {
  readonly count: number;
  /** `[count, …inputShape]` */
  readonly x: Float32Array;
  /** `[count]`: class numbers, or targets of a regression. */
  readonly y: Float32Array;
}

/** Standardisation from the training part: x = (raw − mean) / deviation, per column; likewise for a regression's target. */
export interface Scaling {
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
  readonly target: { readonly mean: number; readonly deviation: number };
}
