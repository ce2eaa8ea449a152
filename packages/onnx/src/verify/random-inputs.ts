import { DgateError, type RandomGenerator } from "@dgate/core";
import type { Dim, Graph, Value } from "../graph/graph.ts";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";

/** Inputs above this size are refused: a wrong `dims` would ask for gigabytes. */
const elementLimit = 2 ** 27;

const floatTypes: readonly DataType[] = ["float32", "float64", "float16", "bfloat16"];

/**
 * Random content for every input that a model must be fed: standard normal numbers for floats, indices within the table they
 * look up (token ids within the vocabulary), 0 and 1 for other integers and for booleans.
 *
 * @param dims sizes of symbolic dimensions by name
 * @param fallback size of a dimension that `dims` does not name
 * @throws DgateError `SHAPE` for an input of unknown rank or absurd size, `UNSUPPORTED` for one that is no numeric tensor
 */
export function randomInputs(
  graph: Graph,
  random: RandomGenerator,
  dims: Readonly<Record<string, number>> = {},
  fallback = 1,
): Record<string, Tensor> {
  return Object.fromEntries(
    graph.requiredInputs.map((value) => [
      value.name,
      randomTensor(graph, value, random, (dim) => sizeOf(dim, dims, fallback)),
    ]),
  );
}

/** A name such as `past + sequence` is the sum of what it names, unless `dims` gives it a size of its own. */
function sizeOf(dim: Dim, dims: Readonly<Record<string, number>>, fallback: number): number {
  if (dim === undefined) return fallback;
  if (typeof dim === "number" || /^\d+$/.test(dim)) return Number(dim);
  if (Object.hasOwn(dims, dim)) return dims[dim]!;
  const terms = dim.split(" + ");
  // Caches start empty, so that `total` sizes which the file does not spell out as sums still fit.
  if (terms.length === 1) return dim.startsWith("past") ? 0 : fallback;
  return terms.reduce((total, term) => total + sizeOf(term, dims, fallback), 0);
}

function randomTensor(
  graph: Graph,
  value: Value,
  random: RandomGenerator,
  size: (dim: Dim) => number,
): Tensor {
  const { type } = value;
  if (!type?.shape) {
    throw new DgateError(
      "SHAPE",
      `verify: the model does not say the shape of its input "${value.name}"; give inputs.`,
    );
  }
  const shape = type.shape.map(size);
  const count = elementCount(shape);
  if (count > elementLimit) {
    throw new DgateError(
      "SHAPE",
      `verify: input "${value.name}" [${shape.join(", ")}] has ${count} elements, more than ${elementLimit}; set dims.`,
    );
  }
  if (floatTypes.includes(type.dtype)) {
    return tensorOf(
      type.dtype,
      shape,
      Float64Array.from({ length: count }, () => random.normal()),
    );
  }
  if (type.dtype === "string") {
    throw new DgateError("UNSUPPORTED", `verify: input "${value.name}" takes texts; give inputs.`);
  }
  const bound = type.dtype === "bool" ? 2 : indexBound(graph, value);
  return tensorOf(
    type.dtype,
    shape,
    Array.from({ length: count }, () => random.integer(bound)),
  );
}

const passing = new Set(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten"]);

/** Size of the smallest table that an integer input indexes; 2 (a mask) if it indexes none. */
function indexBound(graph: Graph, value: Value): number {
  const bounds: number[] = [];
  const walk = (at: Value): void => {
    for (const { node, index } of graph.uses(at)) {
      if (!node || node.domain !== "") continue;
      const table = node.inputs[0]?.data;
      if (node.op === "Gather" && index === 1 && table) {
        bounds.push(table.shape[frontAxis(intAttribute(node, "axis", 0), table.shape.length)] ?? 1);
      }
      if (index === 0 && passing.has(node.op) && node.outputs[0]) walk(node.outputs[0]);
    }
  };
  walk(value);
  return bounds.length > 0 ? Math.min(...bounds) : 2;
}
