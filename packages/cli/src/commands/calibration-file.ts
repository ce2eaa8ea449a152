import { DgateError } from "@dgate/core";
import { decodeSafetensors, type SafetensorsDtype } from "@dgate/core/safetensors";
import {
  type Batch,
  type DataType,
  type Graph,
  readNumbers,
  sliceTensor,
  type Tensor,
  tensorOf,
  type Value,
} from "@dgate/onnx";
import { readWhole } from "../io/files.ts";

/** Calibration inputs, cut into batches. */
export interface Calibration {
  readonly batches: readonly Batch[];
  /** Every fifth batch, where there are five or more. */
  readonly validation: readonly Batch[];
  /** Rows that fill no whole batch of a model with a fixed one. */
  readonly left: number;
}

/** Largest batch, for models that take any. */
const largestBatch = 32;

const dtypes: Readonly<Record<SafetensorsDtype, DataType>> = {
  BOOL: "bool",
  U8: "uint8",
  I8: "int8",
  F8_E5M2: "float8e5m2",
  F8_E4M3: "float8e4m3fn",
  I16: "int16",
  U16: "uint16",
  F16: "float16",
  BF16: "bfloat16",
  I32: "int32",
  U32: "uint32",
  F32: "float32",
  I64: "int64",
  U64: "uint64",
  F64: "float64",
};

/**
 * Reads calibration inputs of a model: a safetensors file with one tensor per input, by the input's name, all with the same
 * number of rows (the batch) on their first axis.
 *
 * @throws DgateError `IO`, `FORMAT` for a damaged file, `OPTION` for missing or unknown names, `SHAPE` for rows that do not fit,
 * `DATA` for numbers that the input's type cannot hold
 */
export async function readCalibration(path: string, graph: Graph): Promise<Calibration> {
  const file = await readWhole(path);
  try {
    return batchesOf(file, graph.requiredInputs);
  } catch (error) {
    if (!(error instanceof DgateError)) throw error;
    throw new DgateError(error.code, `--calibrate ${path}: ${error.message}`, { cause: error });
  }
}

function batchesOf(file: Uint8Array, inputs: readonly Value[]): Calibration {
  const { tensors } = decodeSafetensors(file);
  const names = inputs.map(({ name }) => name);
  const missing = names.find((name) => !tensors.has(name));
  const unknown = [...tensors.keys()].find((name) => !names.includes(name));
  if (missing !== undefined || unknown !== undefined) {
    const problem = missing === undefined ? `there is no input "${unknown}"` : `no tensor "${missing}"`;
    throw new DgateError("OPTION", `${problem}; give one tensor for each of the inputs ${names.join(", ")}.`);
  }
  const whole = inputs.map((input): readonly [Value, Tensor] => {
    const { dtype, shape, bytes } = tensors.get(input.name)!;
    return [input, converted({ dtype: dtypes[dtype], shape, bytes }, input)];
  });
  const { rows, size, fixed } = rowsAndBatch(whole);
  const count = fixed ? Math.floor(rows / size) : Math.ceil(rows / size);
  const all = Array.from({ length: count }, (_, at): Batch => {
    const slices = whole.map(([{ name }, tensor]) => [
      name,
      sliceTensor(tensor, 0, at * size, Math.min(rows, (at + 1) * size)),
    ]);
    return Object.fromEntries(slices) as Batch; // pairs of names and tensors
  });
  const heldOut = (_: Batch, at: number): boolean => all.length >= 5 && at % 5 === 4;
  return {
    batches: all.filter((batch, at) => !heldOut(batch, at)),
    validation: all.filter(heldOut),
    left: fixed ? rows % size : 0,
  };
}

/** Numbers of another type than the input's (int32 token ids, say) become the input's. */
function converted(tensor: Tensor, { type }: Value): Tensor {
  if (!type || type.dtype === tensor.dtype) return tensor;
  return tensorOf(type.dtype, tensor.shape, readNumbers(tensor));
}

/** The number of rows of all inputs, and how many of them make a batch; `fixed` if the model takes no other number. */
function rowsAndBatch(whole: readonly (readonly [Value, Tensor])[]): {
  readonly rows: number;
  readonly size: number;
  readonly fixed: boolean;
} {
  const rows = whole[0]?.[1].shape[0] ?? 0;
  for (const [{ name, type }, { shape }] of whole) {
    const rank = type?.shape?.length ?? shape.length;
    if (shape.length === 0 || shape.length !== rank || shape[0] !== rows) {
      throw new DgateError(
        "SHAPE",
        `"${name}" is [${shape.join(", ")}], but the model takes [${(type?.shape ?? []).map((dim) => dim ?? "?").join(", ")}] ` +
          `and "${whole[0]![0].name}" has ${rows} rows; give the same number of rows on the first axis of each.`,
      );
    }
  }
  const fixed = whole.map(([{ type }]) => type?.shape?.[0]).find((dim) => typeof dim === "number");
  // Some batches are to be held out even of a small file.
  const size = fixed ?? Math.min(largestBatch, Math.max(1, Math.ceil(rows / 10)));
  if (size > 0 && rows >= size) return { rows, size, fixed: fixed !== undefined };
  throw new DgateError("SHAPE", `${rows} rows make no batch; the model takes ${size}.`);
}
