import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fc, firstDifference } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import type { Graph, Value } from "../../src/graph/graph.ts";
import type { DataType, Tensor } from "../../src/graph/tensor.ts";
import { readModel } from "../../src/io/read.ts";
import { ReadContext } from "../../src/io/read-context.ts";
import { readTensor } from "../../src/io/read-tensor.ts";
import { WireReader } from "../../src/proto/wire-reader.ts";
import { backendTestFolder, onnxFiles } from "../files.ts";
import { broadcastShape } from "./broadcast.ts";
import { evaluateGraph } from "./evaluate-graph.ts";
import { canEvaluate, evaluateNode } from "./evaluate-node.ts";
import { type Float64Tensor, float64Of, float64Tensor, sizeOf, stridesOf } from "./tensor.ts";

const files = onnxFiles(
  backendTestFolder,
  "install it (apt-get install libonnx-testdata) or set DGATE_ONNX_TESTDATA to onnx/backend/test/data.",
).filter((file) => relative(backendTestFolder, file).startsWith("node"));

/** The tensors that the suite stores beside a model, in the order of the given values; `undefined` if one is no number. */
function stored(
  file: string,
  kind: "input" | "output",
  values: readonly Value[],
): Float64Tensor[] | undefined {
  const tensors: Float64Tensor[] = [];
  for (const [i, { type }] of values.entries()) {
    const path = join(dirname(file), "test_data_set_0", `${kind}_${i}.pb`);
    if (!type || type.dtype === "string" || !existsSync(path)) return undefined;
    const reader = WireReader.of(readFileSync(path), basename(path));
    const tensor: Tensor = readTensor(reader, new ReadContext(1000, undefined), false).tensor;
    tensors.push(float64Of(tensor));
  }
  return tensors;
}

const tolerance = (dtype: DataType): { absolute: number; relative: number } =>
  dtype === "float16" || dtype === "bfloat16"
    ? { absolute: 1e-2, relative: 1e-2 }
    : { absolute: 1e-5, relative: 1e-3 };

const form = ({ dtype, shape }: Float64Tensor): string => `${dtype}[${shape.join(", ")}]`;

/** What is wrong with the outputs of a model, `undefined` if nothing. */
function mismatch(
  graph: Graph,
  feeds: readonly Float64Tensor[],
  wanted: readonly Float64Tensor[],
): string | undefined {
  const named = Object.fromEntries(graph.requiredInputs.map(({ name }, i) => [name, feeds[i]!]));
  const values = evaluateGraph(graph, named);
  for (const [i, output] of graph.outputs.entries()) {
    const got = values.get(output)!;
    const expected = wanted[i]!;
    if (form(got) !== form(expected)) return `${output.name} is ${form(got)}, expected ${form(expected)}`;
    const at = firstDifference(got.data, expected.data, tolerance(expected.dtype));
    if (at >= 0) return `${output.name}: number ${at} is ${got.data[at]}, expected ${expected.data[at]}`;
  }
  return undefined;
}

/** Models that this evaluator does not follow by decision. */
const isExcluded = (name: string): boolean =>
  // What a training step draws or updates.
  /training_mode|training_dropout_(default|mask)|training_dropout$/.test(name) ||
  // The suite stores bfloat16 as uint16.
  /BFLOAT16/.test(name) ||
  // The suite takes size · scale, unrounded, for the output size in align_corners; the operator's text and onnxruntime do not.
  /resize_downsample_scales_(linear|cubic)_align_corners/.test(name);

describe.skipIf(files.length === 0)("the operators of the ONNX backend test suite", () => {
  test("compute the outputs that the suite gives", () => {
    const wrong: string[] = [];
    let compared = 0;
    for (const file of files) {
      const name = relative(backendTestFolder, dirname(file));
      if (isExcluded(name)) continue;
      const graph = readModel(readFileSync(file), { name: file });
      if (!graph.nodes().every((node) => canEvaluate(node))) continue;
      const feeds = stored(file, "input", graph.requiredInputs);
      const wanted = stored(file, "output", graph.outputs);
      if (!feeds || !wanted) continue;
      compared += 1;
      try {
        const problem = mismatch(graph, feeds, wanted);
        if (problem) wrong.push(`${name}: ${problem}`);
      } catch (error) {
        wrong.push(`${name}: ${String(error)}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThanOrEqual(350);
    console.info(`the float64 evaluator computes ${compared} models of the backend suite as expected`);
  }, 120_000);
});

/** Shapes that broadcast: `full` with some leading axes dropped and others of size 1. */
const partOf = (full: readonly number[]): fc.Arbitrary<number[]> =>
  fc
    .tuple(
      fc.nat({ max: full.length }),
      fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }),
    )
    .map(([drop, ones]) => full.map((dim, i) => (ones[i] ? 1 : dim)).slice(drop));

const tensorOfShape = (shape: readonly number[]): fc.Arbitrary<Float64Tensor> =>
  fc
    .array(fc.integer({ min: -9, max: 9 }), { minLength: sizeOf(shape), maxLength: sizeOf(shape) })
    .map((data) => float64Tensor(shape, data));

/** The element at a position of the shape that `x` broadcasts to. */
function elementAt(x: Float64Tensor, position: readonly number[]): number {
  const strides = stridesOf(x.shape);
  const own = position.slice(position.length - x.shape.length);
  return x.data[own.reduce((at, i, axis) => at + (x.shape[axis] === 1 ? 0 : i * strides[axis]!), 0)]!;
}

/** All positions of a shape, row-major. */
function positions(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (lists, size) => lists.flatMap((list) => Array.from({ length: size }, (_, i) => [...list, i])),
    [[]],
  );
}

const compute = (op: string, ...inputs: Float64Tensor[]): Float64Tensor =>
  evaluateNode({ op, attributes: new Map() }, inputs, 1)[0]!;

const size = fc.integer({ min: 1, max: 4 });
const fullShape = fc.array(fc.nat({ max: 4 }), { maxLength: 4 });

test("element-wise operators broadcast as loops over all positions do", () => {
  const pairs = fullShape.chain((full) => {
    const part = partOf(full).chain(tensorOfShape);
    return fc.tuple(part, part);
  });
  fc.assert(
    fc.property(pairs, ([a, b]) => {
      const shape = broadcastShape(a.shape, b.shape);
      const expected = positions(shape).map((at) => elementAt(a, at) - elementAt(b, at));
      const got = compute("Sub", a, b);
      expect(got.shape).toEqual(shape);
      expect([...got.data]).toEqual(expected);
    }),
  );
});

test("MatMul sums over the inner axis of each pair of matrices of a broadcast batch", () => {
  const pairs = fc.tuple(fullShape, size, size, size).chain(([full, rows, inner, columns]) =>
    fc.tuple(
      partOf(full).chain((batch) => tensorOfShape([...batch, rows, inner])),
      partOf(full).chain((batch) => tensorOfShape([...batch, inner, columns])),
    ),
  );
  fc.assert(
    fc.property(pairs, ([a, b]) => {
      const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
      const shape = [...batch, a.shape.at(-2)!, b.shape.at(-1)!];
      // The inner axis is never stretched: its size is the same on both sides.
      const expected = positions(shape).map((at) => {
        const [row, column] = at.slice(-2) as [number, number]; // a position has as many numbers as the shape
        const matrix = at.slice(0, -2);
        let sum = 0;
        for (let k = 0; k < a.shape.at(-1)!; k++)
          sum += elementAt(a, [...matrix, row, k]) * elementAt(b, [...matrix, k, column]);
        return sum;
      });
      const got = compute("MatMul", a, b);
      expect(got.shape).toEqual(shape);
      expect([...got.data]).toEqual(expected);
    }),
  );
});
