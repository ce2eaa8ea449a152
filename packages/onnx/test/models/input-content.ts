import type { RandomGenerator } from "@dgate/core";
import type { DataType } from "@dgate/onnx";

/** One element of an input: its row (all axes but the last), its column, and how many columns there are. */
interface Place {
  readonly random: RandomGenerator;
  readonly row: number;
  readonly column: number;
  readonly columns: number;
  /** The size of a named dimension. */
  readonly sizeOf: (dim: string) => number;
}

/** What a graph input takes, element by element. */
export interface InputContent {
  readonly dtype: DataType;
  readonly at: (place: Place) => number;
}

export const normal: InputContent = { dtype: "float32", at: ({ random }) => random.normal() };

/** Ones, then zeros: each row of the batch is padded at its end by one more than the row before. */
export const mask: InputContent = {
  dtype: "int64",
  at: ({ row, column, columns }) => (column < Math.max(1, columns - row) ? 1 : 0),
};

/** Two segments of about the same length. */
export const segments: InputContent = {
  dtype: "int64",
  at: ({ column, columns }) => (2 * column < columns ? 0 : 1),
};

/** Token ids below the size of the vocabulary. */
export const tokens = (vocabulary: number): InputContent => ({
  dtype: "int64",
  at: ({ random }) => random.integer(vocabulary),
});

/** Counting up from the size of a dimension (the length of the past), or from 0. */
export const positions = (after?: string): InputContent => ({
  dtype: "int64",
  at: ({ column, sizeOf }) => column + (after === undefined ? 0 : sizeOf(after)),
});

export const flag = (value: boolean): InputContent => ({ dtype: "bool", at: () => (value ? 1 : 0) });
