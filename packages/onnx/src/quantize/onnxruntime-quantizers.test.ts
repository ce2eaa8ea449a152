import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Graph } from "../graph/graph.ts";
import { unpackRows } from "../quantization/quantization.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { type BlockQuantizeOptions, quantizeBlocks } from "./quantize-blocks.ts";
import { type DynamicQuantizeOptions, quantizeDynamic } from "./quantize-dynamic.ts";

interface DynamicCase {
  readonly dynamic: DynamicQuantizeOptions;
  readonly constants: Readonly<Record<string, readonly number[]>>;
}

interface BlockCase {
  readonly blocks: BlockQuantizeOptions;
  /** Codes, scales and, if any, zero points. */
  readonly constants: readonly (readonly number[])[];
}

interface Golden {
  readonly weight: readonly number[];
  readonly table: readonly number[];
  readonly cases: readonly (DynamicCase | BlockCase)[];
}

/** Written by `onnxruntime-quantizers.py` beside it. */
const file = join(import.meta.dirname, "../../test/golden/onnxruntime-quantizers.json");
const golden = JSON.parse(readFileSync(file, "utf8")) as Golden; // the script's own form

function model(): Graph {
  const graph = new Graph("golden");
  const ids = graph.addInput("ids", { dtype: "int64", shape: ["n"] });
  const table = graph.addInitializer("table", tensorOf("float32", [7, 40], golden.table));
  const w = graph.addInitializer("w", tensorOf("float32", [40, 10], golden.weight));
  const x = graph.addNode({ op: "Gather", name: "look", inputs: [table, ids] }).outputs[0]!;
  graph.addOutput(graph.addNode({ op: "MatMul", name: "work", inputs: [x, w] }).outputs[0]!);
  return graph;
}

const numbersOf = (graph: Graph, name: string): number[] => [...readNumbers(graph.value(name)!.data!)];

const dynamicCases = golden.cases.filter((each) => "dynamic" in each);
const blockCases = golden.cases.filter((each) => "blocks" in each);

test.each(dynamicCases)(
  "codes, scales and zero points of quantize_dynamic: $dynamic",
  ({ dynamic, constants }) => {
    const { graph } = quantizeDynamic(model(), { ...dynamic, minimumElements: 0 });
    // Where 7 bits are asked for, it clips to 8: half a step past the end is then one code more.
    const highest = dynamic.reduceRange && dynamic.weightType === "uint8" ? 127 : Infinity;
    for (const [name, numbers] of Object.entries(constants)) {
      const expected = name === "w_quantized" ? numbers.map((code) => Math.min(code, highest)) : numbers;
      const found = numbersOf(graph, name);
      // One zero point stands for equal ones of all channels.
      expect([name, found.length === 1 ? numbers.map(() => found[0]) : found]).toEqual([name, expected]);
    }
  },
);

test.each(blockCases)(
  "codes, scales and zero points of MatMulNBitsQuantizer: $blocks",
  ({ blocks, constants }) => {
    const { graph } = quantizeBlocks(model(), { ...blocks, minimumElements: 0 });
    const [node] = graph.nodes("MatMulNBits", "com.microsoft");
    const found = node!.inputs.slice(1).map((value) => numbersOf(graph, value!.name));
    const meant = ([codes, scales, zeroPoints]: readonly (readonly number[])[]) => ({
      // What fills the last block of 16, and the last byte of zero points, means nothing.
      codes: unpacked(codes!, blocks, 48).filter((_, i) => i % 48 < 40),
      // A block of zeros has scale 1 here and 0 there.
      scales: scales!.map((scale) => scale || 1),
      zeroPoints: zeroPoints && unpacked(zeroPoints, blocks, 3),
    });
    expect(meant(found)).toEqual(meant(constants));
  },
);

const unpacked = (
  packed: readonly number[],
  { bits = 4 }: BlockQuantizeOptions,
  columns: number,
): Uint8Array => unpackRows(Uint8Array.from(packed), bits, 10, columns);
