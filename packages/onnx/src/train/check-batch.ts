import { DgateError } from "@dgate/core";
import type { Graph, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { sizeOfDim } from "../infer/dims.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import type { Batch } from "../recover/batches.ts";
import { printType } from "../runtime/check-feeds.ts";
import type { OrtModule, OrtTensor } from "../runtime/ort-module.ts";
import { toOrt } from "../runtime/run-tensor.ts";
import type { LabelRange } from "./loss.ts";
import type { TrainingGraph } from "./training-graph.ts";
import type { OrtTensors } from "./updates.ts";

/** Whole numbers that an input may hold: `from ≤ n < to`, and `also`. */
interface IdRange {
  readonly from: number;
  readonly to: number;
  readonly also?: number;
  /** What the numbers count. */
  readonly of: string;
}

/** A batch as tensors of the runtime, and the sizes that its dimensions have. */
export interface CheckedBatch {
  readonly tensors: OrtTensors;
  readonly dims: Readonly<Record<string, number>>;
}

/** Looks at each batch before it is run: names, types, sizes that must agree, NaN, and ids that have no row in their table. */
export class BatchCheck {
  readonly #ort: OrtModule;
  readonly #inputs: readonly Value[];
  readonly #ranges: ReadonlyMap<string, IdRange>;
  readonly #given: ReadonlySet<string>;
  readonly #unused: ReadonlySet<string>;

  /**
   * @param given inputs that are not the caller's to give: the teacher's
   * @param unused inputs of the model that the loss does not need
   */
  constructor(
    ort: OrtModule,
    { graph, batchInputs, labels }: TrainingGraph,
    given: ReadonlySet<string>,
    unused: ReadonlySet<string>,
  ) {
    this.#ort = ort;
    this.#inputs = batchInputs;
    this.#given = given;
    this.#unused = unused;
    this.#ranges = idRanges(graph, batchInputs, labels);
  }

  /**
   * @param place says which batch it is
   * @throws DgateError `OPTION` for missing or unknown inputs, `SHAPE` for sizes that do not fit each other or the model, `DATA` for numbers that are not
   * finite and ids out of range
   */
  check(batch: Batch, place: string): CheckedBatch {
    const inputs = this.#inputs.filter(({ name }) => !this.#given.has(name));
    this.#checkNames(batch, inputs, place);
    const tensors: OrtTensors = {};
    const sizes = new Map<string, { readonly size: number; readonly input: string }>();
    for (const { name, type } of inputs) {
      const tensor = tensorFor(this.#ort, name, batch[name]!, type?.dtype, place);
      checkType(name, type, tensor, place);
      bindSizes(name, type?.shape, tensor.dims, sizes, place);
      this.#checkNumbers(name, tensor, place);
      tensors[name] = tensor;
    }
    const rows = Object.values(tensors).some(({ dims }) => !dims.includes(0));
    if (!rows && inputs.length > 0) {
      throw new DgateError("DATA", `train: ${place} has no rows; leave it out.`);
    }
    return { tensors, dims: Object.fromEntries([...sizes].map(([dim, { size }]) => [dim, size])) };
  }

  #checkNames(batch: Batch, inputs: readonly Value[], place: string): void {
    const missing = inputs.find(({ name }) => batch[name] === undefined);
    const known = new Set([...inputs.map(({ name }) => name), ...this.#unused]);
    const unknown = Object.keys(batch).find((name) => !known.has(name));
    if (!missing && unknown === undefined) return;
    const what = missing
      ? `lacks the input "${missing.name}"`
      : `has an input "${unknown}" that nothing takes`;
    const takes = inputs.map(({ name, type }) => `${name} ${printType(type?.dtype, type?.shape)}`).join(", ");
    throw new DgateError("OPTION", `train: ${place} ${what}; training takes ${takes}.`);
  }

  #checkNumbers(name: string, { data, dims }: OrtTensor, place: string): void {
    const fail = (at: number, what: string): never => {
      const row = Math.floor(
        at /
          Math.max(
            1,
            dims.slice(1).reduce((a, b) => a * b, 1),
          ),
      );
      throw new DgateError("DATA", `train: ${place} has ${what} in "${name}" at row ${row} (element ${at}).`);
    };
    if (data instanceof Float32Array || data instanceof Float64Array) {
      const at = firstNotFinite(data);
      if (at >= 0) fail(at, `${data[at]}`);
    }
    const range = this.#ranges.get(name);
    if (!range || !(data instanceof BigInt64Array || data instanceof Int32Array)) return;
    const { from, to, also, of } = range;
    for (let i = 0; i < data.length; i++) {
      const id = Number(data[i]);
      if ((id < from || id >= to) && id !== also)
        fail(i, `the id ${id}, but ${of} has ${to} rows (0 to ${to - 1}),`);
    }
  }
}

/** Index of the first NaN or infinity; −1 if all numbers are finite. */
function firstNotFinite(numbers: Float32Array | Float64Array): number {
  const { length } = numbers;
  // x − x is 0 for every finite x and NaN for the others; two sums, so that neither addition waits for the other.
  let [even, odd] = [0, 0];
  for (let i = 0; i + 1 < length; i += 2) {
    even += numbers[i]! - numbers[i]!;
    odd += numbers[i + 1]! - numbers[i + 1]!;
  }
  if (length % 2 === 1) even += numbers[length - 1]! - numbers[length - 1]!;
  return even === 0 && odd === 0 ? -1 : numbers.findIndex((number) => !Number.isFinite(number));
}

/** As `toOrt`, with the batch in the message. */
function tensorFor(
  ort: OrtModule,
  name: string,
  feed: Batch[string],
  dtype: DataType | undefined,
  place: string,
): OrtTensor {
  try {
    return toOrt(ort, name, feed, dtype);
  } catch (cause) {
    if (!(cause instanceof DgateError)) throw cause;
    throw new DgateError(cause.code, `train: "${name}" of ${place}: ${cause.message}`, { cause });
  }
}

function checkType(name: string, type: Value["type"], { type: dtype, dims }: OrtTensor, place: string): void {
  const shape = type?.shape;
  const fits =
    !shape ||
    (shape.length === dims.length && shape.every((dim, i) => typeof dim !== "number" || dim === dims[i]));
  if (fits && (type === undefined || type.dtype === dtype)) return;
  throw new DgateError(
    "SHAPE",
    `train: "${name}" of ${place} is ${printType(dtype, dims)}, expected ${printType(type?.dtype, shape)}.`,
  );
}

/** Every dimension of one name must have one size. */
function bindSizes(
  name: string,
  shape: readonly (number | string | undefined)[] | undefined,
  dims: readonly number[],
  sizes: Map<string, { readonly size: number; readonly input: string }>,
  place: string,
): void {
  shape?.forEach((dim, axis) => {
    if (typeof dim !== "string") return;
    const size = dims[axis]!;
    const known = sizes.get(dim);
    const computed = known?.size ?? sizeOfDim(dim, (part) => sizes.get(part)?.size ?? Number.NaN);
    if (computed !== undefined && Number.isFinite(computed) && computed !== size) {
      const other = known ? `"${known.input}" has ${known.size}` : `the other inputs make it ${computed}`;
      throw new DgateError(
        "SHAPE",
        `train: axis ${axis} ("${dim}") of "${name}" in ${place} has size ${size}, but ${other}; the inputs of a batch must belong together.`,
      );
    }
    if (!known) sizes.set(dim, { size, input: name });
  });
}

const carrying = new Set(["Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Slice"]);

/** The rows of the tables that integer inputs pick from. */
function idRanges(
  graph: Graph,
  inputs: readonly Value[],
  labels: LabelRange | undefined,
): Map<string, IdRange> {
  const ranges = new Map<string, IdRange>();
  for (const input of inputs) {
    if (input.type?.dtype !== "int64" && input.type?.dtype !== "int32") continue;
    const tables = tablesOf(graph, input);
    if (tables.length === 0) continue;
    const smallest = tables.reduce((a, b) => (b.rows < a.rows ? b : a));
    ranges.set(input.name, { from: -smallest.rows, to: smallest.rows, of: `"${smallest.name}"` });
  }
  if (labels) {
    const { input, classes, ignore } = labels;
    const table = ranges.get(input);
    const isInTable = !table || (ignore >= table.from && ignore < table.to);
    ranges.set(input, {
      from: 0,
      to: Math.min(classes, table?.to ?? classes),
      ...(isInTable && { also: ignore }),
      of: table && table.to <= classes ? table.of : "the model's output",
    });
  }
  return ranges;
}

function tablesOf(graph: Graph, value: Value): { readonly name: string; readonly rows: number }[] {
  return graph.uses(value).flatMap(({ node, index }) => {
    if (!node || node.domain !== "") return [];
    if (carrying.has(node.op) && index === 0 && node.outputs[0]) return tablesOf(graph, node.outputs[0]);
    if (node.op !== "Gather" || index !== 1) return [];
    const table = node.inputs[0]!;
    const shape = table.data?.shape ?? table.type?.shape;
    const rows = shape?.[frontAxis(intAttribute(node, "axis", 0), shape.length)];
    return typeof rows === "number" ? [{ name: table.name, rows }] : [];
  });
}
