import { DgateError } from "@dgate/core";
import { type Graph, readModel, type Value } from "@dgate/onnx";
import { readWhole } from "../io/files.ts";

/** A model read from a file. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly graph: Graph;
}

/**
 * Reads an ONNX file; what is wrong with it is said with its path.
 *
 * @throws DgateError `IO` or what `readModel` throws
 */
export async function openModel(path: string): Promise<ModelFile> {
  const bytes = await readWhole(path);
  try {
    return { path, bytes, graph: readModel(bytes) };
  } catch (error) {
    if (error instanceof DgateError)
      throw new DgateError(error.code, `${path}: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * Refuses two models that cannot run on the same inputs; an open dimension fits any size.
 *
 * @throws DgateError `SHAPE` naming both files and their inputs
 */
export function checkSameInputs(command: string, first: ModelFile, second: ModelFile): void {
  const [left, right] = [first.graph.requiredInputs, second.graph.requiredInputs];
  const fits = (input: Value): boolean => {
    const other = right.find(({ name }) => name === input.name);
    return other !== undefined && sameType(input, other);
  };
  if (left.length === right.length && left.every(fits)) return;
  throw new DgateError(
    "SHAPE",
    `${command}: ${first.path} takes ${inputsOf(left)}, but ${second.path} takes ${inputsOf(right)}; give models with the same inputs.`,
  );
}

/**
 * Refuses sizes for dimensions that no input of a model has.
 *
 * @throws DgateError `OPTION` naming the file and the dimensions that it has
 */
export function checkDims({ path, graph }: ModelFile, dims: Readonly<Record<string, number>>): void {
  const known = new Set(
    graph.requiredInputs.flatMap(({ type }) =>
      (type?.shape ?? []).flatMap((dim) => (typeof dim === "string" ? [dim, ...dim.split(" + ")] : [])),
    ),
  );
  const wrong = Object.keys(dims).find((name) => !known.has(name));
  if (wrong === undefined) return;
  throw new DgateError(
    "OPTION",
    `${path}: --dim ${wrong}=${dims[wrong]}: no input has a dimension "${wrong}"; the open ones are ${[...known].join(", ") || "none"}.`,
  );
}

const open = (dim: unknown): boolean => typeof dim !== "number";

function sameType({ type: a }: Value, { type: b }: Value): boolean {
  if (!a || !b) return true;
  if (a.dtype !== b.dtype) return false;
  if (!a.shape || !b.shape) return true;
  const others = b.shape;
  return (
    a.shape.length === others.length &&
    a.shape.every((dim, i) => dim === others[i] || open(dim) || open(others[i]))
  );
}

const inputsOf = (values: readonly Value[]): string =>
  values
    .map(({ name, type }) => {
      const shape = type?.shape ? ` [${type.shape.map((dim) => dim ?? "?").join(", ")}]` : "";
      return `"${name}" ${type?.dtype ?? "of unknown type"}${shape}`;
    })
    .join(", ") || "no inputs";
