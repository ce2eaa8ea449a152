import { DgateError } from "@dgate/core";
import type { Graph, Value } from "@dgate/onnx";
import { openModelFile } from "@dgate/onnx/node";

/** A model read from a file, with the external data beside it. */
export interface ModelFile {
  readonly path: string;
  readonly graph: Graph;
  /** What a runtime is given: the file as it is, or the graph where constants lie in other files. */
  readonly model: Graph | Uint8Array;
  /** Bytes of the file and of its external data. */
  readonly sizeBytes: number;
}

/**
 * Reads an ONNX file with its external data; what is wrong with it is said with its path.
 *
 * @throws DgateError as `openModelFile`
 */
export async function openModel(path: string): Promise<ModelFile> {
  const { graph, bytes, external, sizeBytes } = await openModelFile(path);
  return { path, graph, model: external.length > 0 ? graph : bytes, sizeBytes };
}

/** The runtime of a check: onnxruntime-web, which is always there, but for models that two of do not fit into its 4 GiB. */
export function runtimeFor(...sizes: readonly number[]): { readonly runtime?: "web" } {
  return sizes.reduce((sum, size) => sum + size, 0) < 2 ** 31 ? { runtime: "web" } : {};
}

/**
 * Refuses two models that cannot run on the same inputs; an open dimension fits any size, and with `caches` the key–value
 * caches of a decoder may have other heads.
 *
 * @throws DgateError `SHAPE` naming both files and the inputs that differ
 */
export function checkSameInputs(
  command: string,
  first: ModelFile,
  second: ModelFile,
  { caches = false }: { readonly caches?: boolean } = {},
): void {
  const [left, right] = [first.graph.requiredInputs, second.graph.requiredInputs];
  const [ours, theirs] = [without(left, right, caches), without(right, left, caches)];
  if (ours.length + theirs.length === 0) return;
  throw new DgateError(
    "SHAPE",
    `${command}: ${first.path} takes ${inputsOf(ours)}, but ${second.path} takes ${inputsOf(theirs)}; give models with the same inputs.`,
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

/** The values that have no equal among others. */
const without = (values: readonly Value[], others: readonly Value[], caches: boolean): Value[] =>
  values.filter((value) => {
    const anySize = caches && value.name.startsWith("past");
    return !others.some((other) => other.name === value.name && sameType(value, other, anySize));
  });

const open = (dim: unknown): boolean => typeof dim !== "number";

function sameType({ type: a }: Value, { type: b }: Value, anySize: boolean): boolean {
  if (!a || !b) return true;
  if (a.dtype !== b.dtype) return false;
  if (!a.shape || !b.shape) return true;
  if (anySize) return a.shape.length === b.shape.length;
  const others = b.shape;
  return (
    a.shape.length === others.length &&
    a.shape.every((dim, i) => dim === others[i] || open(dim) || open(others[i]))
  );
}

/** The inputs for a message: the first of them, and how many more there are. */
const inputsOf = (values: readonly Value[]): string => {
  const named = values.slice(0, 2).map(({ name, type }) => {
    const shape = type?.shape ? ` [${type.shape.map((dim) => dim ?? "?").join(", ")}]` : "";
    return `"${name}" ${type?.dtype ?? "of unknown type"}${shape}`;
  });
  const more = values.length > 2 ? ` and ${values.length - 2} more` : "";
  return `${named.join(", ") || "no other"}${more}`;
};
