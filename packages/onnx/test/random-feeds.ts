import { randomGenerator } from "@dgate/core";
import type { Dim, Graph } from "../src/graph/graph.ts";
import { elementCount } from "../src/io/element-types.ts";
import { tensorOf } from "../src/io/tensor-data.ts";
import type { Feed } from "../src/runtime/run-tensor.ts";

/**
 * Random feeds for all inputs that must be fed: floats in ±1, integers and booleans 0 or 1 (token ids and masks of the
 * smallest vocabulary). Named dimensions get `size`, sums of names the sum.
 */
export function randomFeeds(
  graph: Graph,
  seed: number,
  size: (name: string) => number,
): Record<string, Feed> {
  const random = randomGenerator(seed);
  const sizeOf = (dim: Dim): number =>
    typeof dim === "number"
      ? dim
      : (dim ?? "?").split("+").reduce((sum, name) => sum + (Number(name) || size(name.trim())), 0);
  return Object.fromEntries(
    graph.requiredInputs.map(({ name, type }) => {
      if (!type) throw new Error(`input "${name}" is no tensor`);
      const shape = (type.shape ?? []).map(sizeOf);
      const isFloat = /float/.test(type.dtype);
      const values = Array.from({ length: elementCount(shape) }, () =>
        isFloat ? 2 * random.next() - 1 : random.integer(2),
      );
      return [
        name,
        type.dtype === "string"
          ? tensorOf("string", shape, values.map(String))
          : tensorOf(type.dtype, shape, values),
      ];
    }),
  );
}
