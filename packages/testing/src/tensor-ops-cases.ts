import type { TensorOps } from "@dgate/core";

/** One golden case of a tensor operation; `expected` was worked out by hand. */
export interface TensorOpsCase {
  readonly name: string;
  readonly run: <T>(ops: TensorOps<T>) => T;
  readonly shape: readonly number[];
  readonly expected: readonly number[];
}

const matrix = [1, -2, 3, -4, 5, -6];

/** Golden cases of every operation of `TensorOps`, broadcasting and edge cases included. */
export const tensorOpsCases: readonly TensorOpsCase[] = [
  { name: "scalar has shape []", run: (ops) => ops.scalar(2.5), shape: [], expected: [2.5] },
  {
    name: "constant keeps row-major order",
    run: (ops) => ops.constant(matrix, [2, 3]),
    shape: [2, 3],
    expected: matrix,
  },
  {
    name: "constant takes a typed array",
    run: (ops) => ops.constant(Float64Array.of(1, 2), [1, 2]),
    shape: [1, 2],
    expected: [1, 2],
  },
  {
    name: "add broadcasts a vector over rows",
    run: (ops) => ops.add(ops.constant(matrix, [2, 3]), ops.constant([10, 20, 30], [3])),
    shape: [2, 3],
    expected: [11, 18, 33, 6, 25, 24],
  },
  {
    name: "sub broadcasts a column over columns",
    run: (ops) => ops.sub(ops.constant(matrix, [2, 3]), ops.constant([1, 2], [2, 1])),
    shape: [2, 3],
    expected: [0, -3, 2, -6, 3, -8],
  },
  {
    name: "mul broadcasts both sides",
    run: (ops) => ops.mul(ops.constant([1, 2], [2, 1]), ops.constant([3, 4, 5], [1, 3])),
    shape: [2, 3],
    expected: [3, 4, 5, 6, 8, 10],
  },
  {
    name: "mul by a scalar tensor",
    run: (ops) => ops.mul(ops.scalar(-2), ops.constant([1, 2], [2])),
    shape: [2],
    expected: [-2, -4],
  },
  {
    name: "div",
    run: (ops) => ops.div(ops.constant([1, -6], [2]), ops.constant([4, 3], [2])),
    shape: [2],
    expected: [0.25, -2],
  },
  {
    name: "div of 0 by a tiny normal number is 0",
    run: (ops) => ops.div(ops.constant([0, 0], [2]), ops.add(ops.constant([0, 1], [2]), ops.scalar(1e-37))),
    shape: [2],
    expected: [0, 0],
  },
  {
    name: "scale",
    run: (ops) => ops.scale(ops.constant([1, -2], [2]), 1.5),
    shape: [2],
    expected: [1.5, -3],
  },
  { name: "square", run: (ops) => ops.square(ops.constant([-3, 0.5], [2])), shape: [2], expected: [9, 0.25] },
  { name: "sqrt", run: (ops) => ops.sqrt(ops.constant([0, 2.25], [2])), shape: [2], expected: [0, 1.5] },
  { name: "abs", run: (ops) => ops.abs(ops.constant([-3, 0, 2], [3])), shape: [3], expected: [3, 0, 2] },
  {
    name: "pow with a fractional exponent, 0 included",
    run: (ops) => ops.pow(ops.constant([0, 8, 27], [3]), 1 / 3),
    shape: [3],
    expected: [0, 2, 3],
  },
  {
    name: "pow with a negative exponent",
    run: (ops) => ops.pow(ops.constant([4, 0.25], [2]), -0.5),
    shape: [2],
    expected: [0.5, 2],
  },
  {
    name: "sum of everything has shape []",
    run: (ops) => ops.sum(ops.constant(matrix, [2, 3])),
    shape: [],
    expected: [-3],
  },
  {
    name: "sum over axis 0",
    run: (ops) => ops.sum(ops.constant(matrix, [2, 3]), [0]),
    shape: [3],
    expected: [-3, 3, -3],
  },
  {
    name: "sum over axis 1",
    run: (ops) => ops.sum(ops.constant(matrix, [2, 3]), [1]),
    shape: [2],
    expected: [2, -5],
  },
  {
    name: "sum over the outer axes of three",
    run: (ops) => ops.sum(ops.constant([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]), [0, 2]),
    shape: [2],
    expected: [14, 22],
  },
  {
    name: "reshape",
    run: (ops) => ops.reshape(ops.constant(matrix, [2, 3]), [3, 1, 2]),
    shape: [3, 1, 2],
    expected: matrix,
  },
  {
    name: "reshape between [1] and []",
    run: (ops) => ops.reshape(ops.reshape(ops.scalar(7), [1]), []),
    shape: [],
    expected: [7],
  },
  {
    name: "gather rows, repeated and out of order",
    run: (ops) => ops.gather(ops.constant(matrix, [3, 2]), [2, 0, 2]),
    shape: [3, 2],
    expected: [5, -6, 1, -2, 5, -6],
  },
  {
    name: "gather from a vector",
    run: (ops) => ops.gather(ops.constant([7, 8, 9], [3]), [1, 1, 0, 2]),
    shape: [4],
    expected: [8, 8, 7, 9],
  },
  {
    name: "segmentSum leaves out −1 and leaves empty segments 0",
    run: (ops) => ops.segmentSum(ops.constant([1, 2, 4, 8, 16], [5]), [2, -1, 0, 2, 0], 4),
    shape: [4],
    expected: [20, 0, 9, 0],
  },
];
