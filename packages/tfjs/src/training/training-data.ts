import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";

/** One tensor, or one per input (output) of the model; rows along the first axis. */
export type Rows = tf.Tensor | readonly tf.Tensor[];

/** Inputs and targets with the same number of rows. */
export interface TrainingData {
  readonly inputs: readonly tf.Tensor[];
  readonly targets: readonly tf.Tensor[];
  readonly rows: number;
}

/** Pairs inputs with targets; throws `SHAPE` if their lengths differ or there are none. */
export function pairRows(where: string, x: Rows, y: Rows): TrainingData {
  const inputs = tensorsOf(x);
  const targets = tensorsOf(y);
  const [first] = inputs;
  if (!first || targets.length === 0) {
    throw new DgateError(
      "SHAPE",
      `${where}: ${first ? "no targets" : "no inputs"}, expected at least one tensor.`,
    );
  }
  const rows = first.shape[0] ?? 0;
  const named = [
    ...inputs.map((tensor, i) => [inputs.length > 1 ? `x[${i}]` : "x", tensor] as const),
    ...targets.map((tensor, i) => [targets.length > 1 ? `y[${i}]` : "y", tensor] as const),
  ];
  for (const [name, { shape }] of named) {
    if (shape[0] === rows && rows > 0) continue;
    throw new DgateError(
      "SHAPE",
      `${where}: ${name} has ${shape[0] ?? 0} rows, ${rows > 0 ? `x has ${rows}` : "expected at least one"}: ` +
        `inputs and labels must belong together row by row.`,
    );
  }
  return { inputs, targets, rows };
}

/** Refuses NaN and infinities in the data (`DATA`, with the row). Looks at it in pieces, on the backend. */
export async function checkFinite(where: string, { inputs, targets }: TrainingData): Promise<void> {
  for (const [name, tensors] of [
    ["x", inputs],
    ["y", targets],
  ] as const) {
    for (const tensor of tensors) if (tensor.dtype === "float32") await checkTensor(where, name, tensor);
  }
}

const pieceElements = 2 ** 20;

async function checkTensor(where: string, name: string, tensor: tf.Tensor): Promise<void> {
  const rows = tensor.shape[0] ?? 1;
  const width = tensor.size / rows;
  const step = Math.max(1, Math.floor(pieceElements / Math.max(1, width)));
  for (let start = 0; start < rows; start += step) {
    const count = Math.min(step, rows - start);
    // 0 · x is 0 for every finite x, and NaN for the others.
    const zero = tf.tidy(() => tf.sum(tf.mul(tensor.slice(start, count), 0)));
    const [sum] = await zero.data();
    zero.dispose();
    if (sum === 0) continue;
    const piece = tensor.slice(start, count);
    const values = await piece.data();
    piece.dispose();
    const at = values.findIndex((value) => !Number.isFinite(value));
    throw new DgateError(
      "DATA",
      `${where}: ${name} holds ${values[at]} at row ${start + Math.floor(at / width)}: ` +
        `remove or fill such rows before training.`,
    );
  }
}

/**
 * Rows of every tensor, in the order of `indices`; the caller disposes them. `[rows]` becomes `[rows, 1]`, as in `fit`: a
 * loss would broadcast it against the model's `[rows, 1]`.
 */
export function takeRows(tensors: readonly tf.Tensor[], indices: Int32Array): tf.Tensor[] {
  return tf.tidy(() => {
    const order = tf.tensor1d(indices, "int32");
    return tensors.map((tensor) => {
      const rows = tf.gather(tensor, order);
      return rows.rank === 1 ? tf.expandDims(rows, 1) : rows;
    });
  });
}

/** Refuses data that does not fit the model: too few tensors, or targets of another shape than the outputs. */
export function checkFit(where: string, model: tf.LayersModel, { inputs, targets }: TrainingData): void {
  if (inputs.length !== model.inputs.length || targets.length !== model.outputs.length) {
    throw new DgateError(
      "SHAPE",
      `${where}: ${inputs.length} input and ${targets.length} target tensors, but model "${model.name}" has ` +
        `${model.inputs.length} inputs and ${model.outputs.length} outputs.`,
    );
  }
  for (const [i, { shape }] of targets.entries()) {
    const loss = lossAt(model, i);
    // Class numbers have another shape than the outputs, and losses of the user's may take what they like.
    if (typeof loss !== "string" || loss.startsWith("sparse")) continue;
    const got = shape.length === 1 ? [1] : shape.slice(1);
    const expected = model.outputs[i]!.shape.slice(1);
    if (got.length === expected.length && expected.every((size, k) => size === null || size === got[k]))
      continue;
    throw new DgateError(
      "SHAPE",
      `${where}: targets have shape [rows, ${got.join(", ")}], but the model gives [rows, ${expected.join(", ")}].`,
    );
  }
}

/** What `compile` was told for output `i`: one loss for all, a list, or losses by name. */
function lossAt({ loss, outputNames }: tf.LayersModel, i: number): unknown {
  if (typeof loss !== "object") return loss;
  return Array.isArray(loss) ? loss[i] : loss[outputNames[i]!];
}

function tensorsOf(rows: Rows): readonly tf.Tensor[] {
  return rows instanceof tf.Tensor ? [rows] : rows;
}
