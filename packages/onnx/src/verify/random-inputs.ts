import { DgateError, type RandomGenerator } from "@dgate/core";
import type { Dim, Graph, Value } from "../graph/graph.ts";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import { isBlockwise } from "../ops/quantized-forms.ts";
import { constantBehind } from "../quantization/quantized-layer.ts";
import { countsLengths, fusedTableRows } from "./fused-contents.ts";

/** Inputs above this size are refused: a wrong `dims` would ask for gigabytes. */
const elementLimit = 2 ** 27;

const floatTypes: readonly DataType[] = ["float32", "float64", "float16", "bfloat16"];

/**
 * Random content for every input that a model must be fed: standard normal numbers for floats, indices within the table they
 * look up (token ids within the vocabulary), ones for a mask that lengths of caches are counted from, 0 and 1 for other integers
 * and for booleans.
 *
 * @param dims sizes of symbolic dimensions by name
 * @param fallback size of a dimension that `dims` does not name
 * @param past length of a decoder's cache: of dimensions whose name begins with `past`
 * @throws DgateError `SHAPE` for an input of unknown rank or absurd size, `UNSUPPORTED` for one that is no numeric tensor
 */
export function randomInputs(
  graph: Graph,
  random: RandomGenerator,
  dims: Readonly<Record<string, number>> = {},
  fallback = 1,
  past = 0,
): Record<string, Tensor> {
  const sizes: DrawnSizes = { dims, fallback, past, fresh: freshDim(graph) };
  return Object.fromEntries(
    graph.requiredInputs.map((value) => [value.name, randomTensor(graph, value, random, sizes)]),
  );
}

/** Sizes of symbolic dimensions of one set of inputs. */
interface DrawnSizes {
  readonly dims: Readonly<Record<string, number>>;
  readonly fallback: number;
  /** Length of a decoder's cache. */
  readonly past: number;
  /** Name of the dimension that counts new tokens, in a decoder with a cache. */
  readonly fresh: string | undefined;
}

/**
 * A name such as `past + sequence` is the sum of what it names, unless `dims` gives it a size of its own; a `total` length is
 * that of the cache and of the new tokens.
 */
function sizeOf(dim: Dim, sizes: DrawnSizes): number {
  const { dims, fallback, past, fresh } = sizes;
  if (dim === undefined) return fallback;
  if (typeof dim === "number" || /^\d+$/.test(dim)) return Number(dim);
  if (Object.hasOwn(dims, dim)) return dims[dim]!;
  const terms = dim.split(" + ");
  if (terms.length > 1) return terms.reduce((total, term) => total + sizeOf(term, sizes), 0);
  if (pastDim.test(dim)) return past;
  return totalDim.test(dim) && fresh !== undefined ? past + sizeOf(fresh, sizes) : fallback;
}

const pastDim = /^past/;
const totalDim = /^total/;

/** The dimension that counts new tokens: that of the token ids. */
function freshDim(graph: Graph): string | undefined {
  const shapes = graph.requiredInputs.map(({ type }) => type?.shape ?? []);
  if (!shapes.some((shape) => shape.some((dim) => typeof dim === "string" && pastDim.test(dim))))
    return undefined;
  const ids = graph.requiredInputs.find(({ name }) => /input_ids|inputs_embeds|hidden_states/.test(name));
  const dim = ids?.type?.shape?.[1];
  return typeof dim === "string" ? dim : undefined;
}

function randomTensor(graph: Graph, value: Value, random: RandomGenerator, sizes: DrawnSizes): Tensor {
  const { type } = value;
  if (!type?.shape) {
    throw new DgateError(
      "SHAPE",
      `verify: the model does not say the shape of its input "${value.name}"; give inputs.`,
    );
  }
  const shape = type.shape.map((dim) => sizeOf(dim, sizes));
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
  if (type.dtype === "bool" && cacheFlag.test(value.name)) {
    return tensorOf("bool", shape, new Uint8Array(count).fill(sizes.past > 0 ? 1 : 0));
  }
  const bound = type.dtype === "bool" ? 2 : indexBound(graph, value);
  const columns = shape.at(-1) ?? 1;
  const ones = countsLengths(graph, value);
  // A mask hides everything nowhere: the softmax over nothing is no number in any model.
  const shown = (i: number): boolean => ones || (isMask(value) && i % columns === 0);
  return tensorOf(
    type.dtype,
    shape,
    Array.from({ length: count }, (_, i) => (shown(i) ? 1 : random.integer(bound))),
  );
}

/** Whether a merged decoder takes its cache: the other branch wants an empty one. */
const cacheFlag = /^use_cache/;

const isMask = ({ name }: Value): boolean => /mask/i.test(name);

const passing = new Set(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten"]);

/** Size of the smallest table that an integer input indexes; 2 (a mask) if it indexes none. */
function indexBound(graph: Graph, value: Value): number {
  const bounds: number[] = [];
  const walk = (at: Value): void => {
    for (const { node, index } of graph.uses(at)) {
      if (node && isBlockwise(node, "GatherBlockQuantized") && index === 1) {
        bounds.push(node.inputs[0]?.data?.shape[0] ?? 1);
      }
      const rows = node && fusedTableRows(node, index);
      if (rows !== undefined) bounds.push(rows);
      if (!node || node.domain !== "") continue;
      const table = node.inputs[0] && constantBehind(graph, node.inputs[0])?.value.data;
      if (node.op === "Gather" && index === 1 && table) {
        bounds.push(table.shape[frontAxis(intAttribute(node, "axis", 0), table.shape.length)] ?? 1);
      }
      if (index === 0 && passing.has(node.op) && node.outputs[0]) walk(node.outputs[0]);
    }
  };
  walk(value);
  return bounds.length > 0 ? Math.min(...bounds) : 2;
}
