import { type Coupling, maxAxisSize } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import type { Value } from "../graph/graph.ts";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { numberPieces } from "../io/number-pieces.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { applyTo, ruleOf } from "../ops/rule-of.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { isNumeric, SliceContext, type SliceConstants, type SliceSource } from "./slice-context.ts";
import { fusedSliceRules } from "./fused-slices.ts";
import { severalOutputs, sliceRules } from "./slice-rules.ts";

const rules = { ...sliceRules, ...fusedSliceRules };

/**
 * Finds the constants that dead channels leave behind: a filter of zeros still emits its bias, and what activation,
 * normalisation and pooling make of it. Exact per channel: float64, rounded after every operator as the runtime rounds.
 *
 * @returns for a value and an axis, the number that fills each slice; `undefined` if every slice varies
 */
export function sliceConstants(coupling: Coupling): SliceSource {
  const { graph, inference } = coupling;
  const memo = new Map<Value, Map<number, SliceConstants | undefined>>();
  const source: SliceSource = {
    coupling,
    of(value, axis) {
      const known = memo.get(value) ?? new Map<number, SliceConstants | undefined>();
      memo.set(value, known);
      if (!known.has(axis)) {
        known.set(axis, undefined);
        known.set(axis, compute(value, axis));
      }
      return known.get(axis);
    },
    through(node, axis, inputs, output = 0) {
      const rule = ruleOf(rules, node);
      return rule && applyTo(node, () => rule(new SliceContext(node, inputs), axis, output));
    },
  };

  function compute(value: Value, axis: number): SliceConstants | undefined {
    const type = inference.types.get(value);
    const size = type?.shape?.[axis];
    if (typeof size !== "number" || size > maxAxisSize) return undefined;
    const data = fixedData(graph, value);
    if (data) return isNumeric(data) ? uniformSlices(data, axis) : undefined;
    const node = graph.producer(value);
    const output = node?.outputs.indexOf(value) ?? -1;
    if (!node || output < 0 || (output > 0 && !severalOutputs.has(node.op))) return undefined;
    const found = source.through(node, axis, source, output);
    if (!found || found.every((number) => Number.isNaN(number))) return undefined;
    // Infinity and overflow are no constants to fold.
    return found.map((number) => (Number.isFinite(number) ? round(number, type?.dtype) : Number.NaN));
  }

  // In topological order every question about a node finds its inputs answered: no deep recursion on long chains.
  for (const node of coupling.nodes) {
    for (const output of node.outputs) {
      if (!output) continue;
      coupling.axesOf(output)?.forEach((space, axis) => {
        if (isCuttable(space)) source.of(output, axis);
      });
    }
  }
  return source;
}

/** Only axes with a leaf that can be cut are worth the arithmetic. */
function isCuttable(space: Space): boolean {
  return space.leaves().some(({ size, barriers }) => size !== undefined && size > 1 && barriers.length === 0);
}

function round(number: number, dtype: DataType | undefined): number {
  if (dtype === "float64") return number;
  if (dtype === "float16" || dtype === "bfloat16") return readNumbers(tensorOf(dtype, [1], [number]))[0]!;
  return Math.fround(number);
}

/** The number that fills each slice of a constant tensor. */
function uniformSlices(tensor: Tensor, axis: number): SliceConstants {
  const { shape } = tensor;
  const size = shape[axis] ?? 1;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const found = new Float64Array(size);
  const seen = new Uint8Array(size);
  let slice = 0;
  let left = inner; // elements of the slice that are still to come
  for (const numbers of numberPieces(tensor)) {
    for (let i = 0; i < numbers.length; ) {
      const end = Math.min(numbers.length, i + left);
      left -= end - i;
      if (seen[slice] === 0) {
        seen[slice] = 1;
        found[slice] = numbers[i]!;
      }
      // NaN is equal to nothing: a slice that varies stays so.
      const first = found[slice];
      while (i < end && numbers[i] === first) i++;
      if (i < end) found[slice] = Number.NaN;
      i = end;
      if (left > 0) continue;
      left = inner;
      slice = (slice + 1) % size;
    }
  }
  return found;
}
